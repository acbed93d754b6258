//! Entries get the bits that ring 3 needs: "user" at every level. All that the kernel wrote stays otherwise.

use super::super::prelude::*;
use crate::memory::{ACCESSED, KERNEL_RO, PRESENT, SPARE, Tables, USER, WRITABLE, entry};

/// Global, and a software bit by which kernel and user mappings can be told apart.
const MAY_DIFFER: u64 = 1 << 8 | 1 << 52;

pub(crate) fn run() {
    let hooked = Tables::hook(SPARE);
    let spare = Tables::new(SPARE);
    spare.protect();
    assert_eq!(memory::pin(3, spare.l3.mfn()), Ok(0));
    for (table, below) in [
        (hooked.l4, spare.l3),
        (hooked.l3, spare.l2),
        (hooked.l2, spare.l1),
    ] {
        // As a kernel of a machine of its own would write it.
        let value = entry(below.mfn(), PRESENT | WRITABLE | ACCESSED);
        assert_eq!(memory::set_entry(table.word_address(300), value), Ok(0));
        assert_eq!(table.read(300), value | USER);
    }
    let frame = Frame::alloc();
    let value = entry(frame.mfn(), KERNEL_RO);
    assert_eq!(memory::set_entry(hooked.l1.word_address(300), value), Ok(0));
    assert_eq!(hooked.l1.read(300) & !MAY_DIFFER, value | USER);
    // What is read can be written back, without a change of meaning.
    let read = hooked.l1.read(300);
    assert_eq!(memory::set_entry(hooked.l1.word_address(301), read), Ok(0));
    assert_eq!(hooked.l1.read(301), read);
}
