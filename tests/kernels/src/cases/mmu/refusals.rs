//! `mmu_update` refuses tables and owners that are not the caller's, and lists that it can't read.

use super::super::prelude::*;
use crate::memory::{KERNEL_RO, SPARE, Tables, entry, update};

pub(crate) fn run() {
    let hooked = Tables::hook(SPARE);
    let frame = Frame::alloc();
    let good = update(hooked.l1.word_address(0), entry(frame.mfn(), KERNEL_RO));
    let mut done = 0u32;
    let mut call = |updates: u64, count: u64, owner: u64| {
        hypercall!(MmuUpdate, updates, count, &mut done, owner)
    };
    let list = core::ptr::from_ref(&good) as u64;
    let own = u64::from(DomId::SELF.0);
    // A page table in a frame that the domain does not have.
    for mfn in [Mfn(0x7f_ffff_ffff), Mfn(0xff_ffff_ffff)] {
        assert_eq!(
            memory::set_entry(mfn.address(), 0),
            Err(Errno::EINVAL),
            "{mfn}"
        );
    }
    // Owners.
    assert_eq!(call(list, 1, 0x1234), Err(Errno::ESRCH), "no such domain");
    assert_eq!(
        call(list, 1, own | 0x1235 << 16),
        Err(Errno::ESRCH),
        "no such table owner"
    );
    // Lists.
    for pointer in [
        0,
        Vaddr::HYPERVISOR_START.0 + 0x4000_0000_0000,
        NON_CANONICAL,
        0x1_0000_0000,
    ] {
        assert_eq!(call(pointer, 1, own), Err(Errno::EFAULT), "{pointer:#x}");
    }
    assert_eq!(call(list, 1, own), Ok(0));
    // A count that can't be written: the work is done, and that is what counts.
    let outcome = hypercall!(MmuUpdate, &good, 1u64, 0x1_0000_0000u64, own);
    assert_eq!(outcome, Ok(0));
    // No count is fine.
    assert_eq!(hypercall!(MmuUpdate, &good, 1u64, 0u64, own), Ok(0));
}
