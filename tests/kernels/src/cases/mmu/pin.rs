//! Tables of every level can be pinned and unpinned, each by itself and nested.

use super::super::prelude::*;
use crate::memory::{KERNEL_RW, SPARE, Tables, entry};

pub(crate) fn run() {
    let tables = Tables::new(SPARE);
    let target = Frame::alloc();
    tables.l1.write(100, entry(target.mfn(), KERNEL_RW));
    tables.protect();
    let from_below = [
        (1, tables.l1),
        (2, tables.l2),
        (3, tables.l3),
        (4, tables.l4),
    ];
    for (level, table) in from_below {
        assert_eq!(memory::pin(level, table.mfn()), Ok(0));
        assert_eq!(memory::unpin(table.mfn()), Ok(0));
    }
    // Pinned from below, then unpinned from below: the upper ones hold them.
    for (level, table) in from_below {
        assert_eq!(memory::pin(level, table.mfn()), Ok(0));
    }
    for (_, table) in from_below {
        assert_eq!(memory::unpin(table.mfn()), Ok(0));
    }
    // Now everything is plain memory, and the target too can become a table.
    for table in tables.all() {
        memory::make_writable(table);
    }
    memory::make_readonly(target);
    assert_eq!(memory::pin(1, target.mfn()), Ok(0));
}
