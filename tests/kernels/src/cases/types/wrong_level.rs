//! A page table of one level is none of another: not by pin, and not by a reference from the wrong level.

use super::super::prelude::*;
use crate::memory::{SPARE, TABLE, Tables, entry};

pub(crate) fn run() {
    let tables = Tables::new(SPARE);
    tables.protect();
    assert_eq!(memory::pin(4, tables.l4.mfn()), Ok(0));
    for (index, table) in tables.all().into_iter().enumerate() {
        let own = 4 - index;
        for level in (1..=4).filter(|&level| level != own) {
            let outcome = memory::pin(level, table.mfn());
            assert_eq!(
                outcome,
                Err(Errno::EINVAL),
                "a level-{own} table as level {level}"
            );
        }
    }
    // Entries: each table may only lead to the level below. (The same level is another matter.)
    let hooked = Tables::hook(SPARE);
    for (place, level) in [(hooked.l4, 4), (hooked.l3, 3), (hooked.l2, 2)] {
        for (index, table) in tables.all().into_iter().enumerate() {
            let own = 4 - index;
            if own == level {
                continue;
            }
            let address = place.word_address(300);
            let outcome = memory::set_entry(address, entry(table.mfn(), TABLE));
            let expected = if own + 1 == level {
                Ok(0)
            } else {
                Err(Errno::EINVAL)
            };
            assert_eq!(outcome, expected, "level {own} in level {level}");
            assert_eq!(memory::set_entry(address, 0), Ok(0));
        }
    }
}
