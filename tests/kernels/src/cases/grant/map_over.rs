//! A mapping takes the place of what was there, whose frame is let go; a mapped frame is what it is as long as it is
//! mapped, and no entry that the guest makes raises its rights.

use super::super::prelude::*;
use crate::grant::{Table, map_well, unmap};
use crate::memory::{
    KERNEL_RO, KERNEL_RW, SPARE, Tables, entry, make_readonly, pin, set_entry, unpin,
};
use crate::reservation::{exchange, extents};
use guest_abi::grant_op::MapFlags;

/// Whether nothing refers to a frame: it can be exchanged then.
fn is_free(frame: Frame) -> bool {
    let (mut give, mut take) = ([frame.mfn().0], [frame.pfn().0]);
    let (outcome, _) = exchange(extents(&mut give, 0), extents(&mut take, 0));
    outcome.is_ok()
}

pub(crate) fn run() {
    let table = Table::map(1);
    let tables = Tables::hook(SPARE);
    let [old, granted] = Frame::alloc_many();
    let at = tables.l1.word_address(0);
    assert_eq!(set_entry(at, entry(old.mfn(), KERNEL_RW)), Ok(0));
    crate::reservation::unmap(old);
    table.grant(17, granted);
    let done = map_well(MapFlags::HOST_MAP, 17, SPARE.0);
    assert!(is_free(old), "the entry that was there holds its frame");

    // Mapped for writing: no table.
    make_readonly(granted);
    assert!(
        pin(1, granted.mfn()).is_err(),
        "a table that can be written"
    );
    assert_eq!(unmap(done.handle, SPARE.0, 0), 0);
    assert_eq!(pin(1, granted.mfn()), Ok(0));
    assert_eq!(unpin(granted.mfn()), Ok(0));

    // In the granter's hands and not: it can't be given away while it is mapped.
    let done = map_well(MapFlags::HOST_MAP | MapFlags::READONLY, 17, SPARE.0);
    crate::reservation::unmap(granted);
    let (mut give, mut take) = ([granted.mfn().0], [granted.pfn().0]);
    let refused = exchange(extents(&mut give, 0), extents(&mut take, 0));
    assert_eq!(refused, (Err(Errno::EINVAL), 0));

    // The guest overwrites the entry by itself: the handle's mapping is not there any more, the use is.
    assert_eq!(set_entry(at, 0), Ok(0));
    assert!(unmap(done.handle, SPARE.0, 0) < 0);
    assert_eq!(table.uses(17), (true, false));
    // It puts an equal one back, and unmaps it.
    assert_eq!(set_entry(at, entry(granted.mfn(), KERNEL_RO)), Ok(0));
    assert_eq!(unmap(done.handle, SPARE.0, 0), 0);
    assert_eq!(table.uses(17), (false, false));
    assert!(is_free(granted), "a reference is left");
}
