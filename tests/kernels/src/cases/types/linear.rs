//! Entries that lead to a table of the same level are refused, itself included.

use super::super::prelude::*;
use crate::memory::{SPARE, TABLE, Tables, WRITABLE, entry};

pub(crate) fn run() {
    let other = Tables::new(SPARE);
    other.protect();
    assert_eq!(memory::pin(4, other.l4.mfn()), Ok(0));
    let hooked = Tables::hook(SPARE);
    for (table, peer) in [
        (hooked.l4, other.l4),
        (hooked.l3, other.l3),
        (hooked.l2, other.l2),
    ] {
        for target in [table, peer] {
            for flags in [TABLE, TABLE & !WRITABLE] {
                let value = entry(target.mfn(), flags);
                let outcome = memory::set_entry(table.word_address(300), value);
                assert_eq!(
                    outcome,
                    Err(Errno::EINVAL),
                    "{table:?} to {target:?}, {flags:#x}"
                );
            }
        }
    }
    // A new root that leads to itself.
    let root = Frame::alloc();
    root.write(300, entry(root.mfn(), TABLE & !WRITABLE));
    memory::make_readonly(root);
    assert_eq!(memory::pin(4, root.mfn()), Err(Errno::EINVAL));
}
