//! No page table can be mapped writable, at any level, by any way; it can be mapped read-only.

use super::super::prelude::*;
use crate::memory::{KERNEL_RO, KERNEL_RW, SPARE, Tables, entry};

pub(crate) fn run() {
    let tables = Tables::new(SPARE);
    tables.protect();
    assert_eq!(memory::pin(4, tables.l4.mfn()), Ok(0));
    let hooked = Tables::hook(SPARE);
    for table in tables.all() {
        let (writable, readonly) = (entry(table.mfn(), KERNEL_RW), entry(table.mfn(), KERNEL_RO));
        // In the initial mapping, by both hypercalls.
        assert_eq!(
            memory::update_va_mapping(table.va(), writable, 2),
            Err(Errno::EBUSY)
        );
        let Some((leaf, index)) = memory::leaf_of(table.va()) else {
            panic!("{table:?} is not mapped");
        };
        assert_eq!(
            memory::set_entry(leaf.word_address(index), writable),
            Err(Errno::EBUSY)
        );
        // In another place.
        let elsewhere = hooked.l1.word_address(7);
        assert_eq!(memory::set_entry(elsewhere, writable), Err(Errno::EBUSY));
        assert_eq!(memory::set_entry(elsewhere, readonly), Ok(0));
        assert_eq!(hooked.l1.read(7) & memory::WRITABLE, 0);
    }
    // In a table that becomes one with such an entry in it.
    let other = Frame::alloc();
    other.write(3, entry(tables.l1.mfn(), KERNEL_RW));
    memory::make_readonly(other);
    assert_eq!(memory::pin(1, other.mfn()), Err(Errno::EBUSY));
    // Even the table's own frame.
    let selfish = Frame::alloc();
    selfish.write(0, entry(selfish.mfn(), KERNEL_RW));
    memory::make_readonly(selfish);
    assert_eq!(memory::pin(1, selfish.mfn()), Err(Errno::EBUSY));
}
