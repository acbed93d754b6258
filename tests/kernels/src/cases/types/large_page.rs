//! Large pages are refused, in entries and in tables that become ones.

use super::super::prelude::*;
use crate::memory::{LARGE, SPARE, TABLE, Tables, entry};

pub(crate) fn run() {
    let frame = Frame::alloc();
    let hooked = Tables::hook(SPARE);
    for table in [hooked.l2, hooked.l3] {
        let value = entry(frame.mfn(), TABLE | LARGE);
        let outcome = memory::set_entry(table.word_address(300), value);
        assert_eq!(outcome, Err(Errno::EINVAL), "{table:?}");
    }
    let tables = Tables::new(SPARE);
    tables.l2.write(9, entry(frame.mfn(), TABLE | LARGE));
    tables.protect();
    assert_eq!(memory::pin(2, tables.l2.mfn()), Err(Errno::EINVAL));
    assert_eq!(memory::pin(4, tables.l4.mfn()), Err(Errno::EINVAL));
}
