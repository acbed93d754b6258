//! A tree of tables stays one as long as anything holds it, and is plain memory as soon as nothing does.

use super::super::prelude::*;
use crate::memory::{KERNEL_RW, SPARE, Tables, entry};

pub(crate) fn run() {
    let tables = Tables::new(SPARE);
    tables.protect();
    assert_eq!(memory::pin(4, tables.l4.mfn()), Ok(0));
    // Pinned twice over, from two levels: the first to go does not free it.
    assert_eq!(memory::pin(2, tables.l2.mfn()), Ok(0));
    assert_eq!(memory::unpin(tables.l4.mfn()), Ok(0));
    for (table, is_held) in [
        (tables.l4, false),
        (tables.l3, false),
        (tables.l2, true),
        (tables.l1, true),
    ] {
        let outcome = memory::update_va_mapping(table.va(), entry(table.mfn(), KERNEL_RW), 2);
        assert_eq!(outcome.is_err(), is_held, "{table:?}");
    }
    assert_eq!(memory::unpin(tables.l2.mfn()), Ok(0));
    for table in [tables.l2, tables.l1] {
        memory::make_writable(table);
        // Plain memory takes anything.
        table.write(0, u64::MAX);
    }
}
