//! An update that preserves them keeps the accessed and dirty bits that the entry has; an ordinary one
//! does not.

use super::super::prelude::*;
use crate::memory::{ACCESSED, DIRTY, PRESENT, SPARE, Tables, WRITABLE, entry, typed_update};
use guest_abi::mmu::MmuUpdateType;

pub(crate) fn run() {
    let hooked = Tables::hook(SPARE);
    let frame = Frame::alloc();
    let address = hooked.l1.word_address(0);
    let clean = entry(frame.mfn(), PRESENT | WRITABLE);
    let readonly = entry(frame.mfn(), PRESENT);
    let bits = |table: Frame| table.read(0) & (ACCESSED | DIRTY);

    assert_eq!(memory::set_entry(address, clean), Ok(0));
    assert_eq!(bits(hooked.l1), 0);
    assert_eq!(probe!("mov byte ptr [{at}], 1"; at = in(reg) SPARE.0), None);
    assert_eq!(bits(hooked.l1), ACCESSED | DIRTY, "set by the processor");
    let preserving = typed_update(MmuUpdateType::PtUpdatePreserveAd, address, readonly);
    assert_eq!(memory::mmu_update(&[preserving]), (Ok(0), 1));
    assert_eq!(bits(hooked.l1), ACCESSED | DIRTY);
    assert_eq!(hooked.l1.read(0) & WRITABLE, 0);
    assert_eq!(memory::set_entry(address, readonly), Ok(0));
    assert_eq!(bits(hooked.l1), 0);
    // Bits that the new entry brings come in addition.
    let dirty = entry(frame.mfn(), PRESENT | WRITABLE | DIRTY);
    assert_eq!(memory::set_entry(address, readonly | ACCESSED), Ok(0));
    let preserving = typed_update(MmuUpdateType::PtUpdatePreserveAd, address, dirty);
    assert_eq!(memory::mmu_update(&[preserving]), (Ok(0), 1));
    assert_eq!(bits(hooked.l1), ACCESSED | DIRTY);
}
