//! Present entries with bits that the ABI does not allow are refused; entries that are not present may hold
//! anything.

use super::super::prelude::*;
use crate::memory::{
    CACHE_DISABLE, GLOBAL, KERNEL_RO, PRESENT, SPARE, TABLE, Tables, WRITE_THROUGH, entry,
};

pub(crate) fn run() {
    let hooked = Tables::hook(SPARE);
    let spare = Tables::new(SPARE);
    spare.protect();
    assert_eq!(memory::pin(4, spare.l4.mfn()), Ok(0));
    for (table, below) in [
        (hooked.l4, spare.l3),
        (hooked.l3, spare.l2),
        (hooked.l2, spare.l1),
    ] {
        let address = table.word_address(300);
        for bit in [WRITE_THROUGH, CACHE_DISABLE, GLOBAL] {
            let outcome = memory::set_entry(address, entry(below.mfn(), TABLE | bit));
            assert_eq!(outcome, Err(Errno::EINVAL), "bit {bit:#x}");
        }
        // Bits for the guest's own use.
        for bit in [9, 10, 11, 53, 58, 61] {
            let value = entry(below.mfn(), TABLE | 1 << bit);
            assert_eq!(memory::set_entry(address, value), Ok(0), "bit {bit}");
            assert_eq!(table.read(300) & 1 << bit, 1 << bit);
        }
        for garbage in [!PRESENT, 0x8000_1234_5678_9abe] {
            assert_eq!(memory::set_entry(address, garbage), Ok(0), "not present");
            assert_eq!(table.read(300), garbage);
        }
    }
    let address = hooked.l1.word_address(300);
    let frame = Frame::alloc();
    for bit in [9, 10, 11, 53, 58, 61, 63] {
        let value = entry(frame.mfn(), KERNEL_RO | 1 << bit);
        assert_eq!(memory::set_entry(address, value), Ok(0), "bit {bit}");
        assert_eq!(hooked.l1.read(300) & 1 << bit, 1 << bit);
    }
    // The number that stands for no frame, and one that no machine has.
    for (mfn, errno) in [
        (Mfn(0xff_ffff_ffff), Errno::EINVAL),
        (Mfn(0x80_0000_0000), Errno::EPERM),
    ] {
        let outcome = memory::set_entry(address, entry(mfn, KERNEL_RO));
        assert_eq!(outcome, Err(errno), "{mfn}");
    }
    let garbage = 0x8765_4321_1234_5678 & !PRESENT;
    assert_eq!(memory::set_entry(address, garbage), Ok(0));
    assert_eq!(hooked.l1.read(300), garbage);
}
