//! A tree with a fault in its last entry is refused whole: nothing of it stays a table.

use super::super::prelude::*;
use crate::memory::{GLOBAL, KERNEL_RW, TABLE, entry};

pub(crate) fn run() {
    // Each of 64 level-1 tables hangs in a level-2 table eight times over.
    let l2 = Frame::alloc();
    let l1: [Frame; 64] = Frame::alloc_many();
    for place in 0..511 {
        l2.write(place, entry(l1[place % 64].mfn(), TABLE));
    }
    let target = Frame::alloc();
    for table in l1 {
        (0..512).for_each(|place| table.write(place, entry(target.mfn(), KERNEL_RW)));
        memory::make_readonly(table);
    }
    l2.write(511, entry(l1[0].mfn(), TABLE | GLOBAL));
    memory::make_readonly(l2);
    for _ in 0..3 {
        assert_eq!(memory::pin(2, l2.mfn()), Err(Errno::EINVAL));
    }
    // Without the fault it passes.
    memory::make_writable(l2);
    l2.write(511, 0);
    memory::make_readonly(l2);
    assert_eq!(memory::pin(2, l2.mfn()), Ok(0));
    assert_eq!(memory::unpin(l2.mfn()), Ok(0));
    for table in l1 {
        memory::make_writable(table);
    }
    memory::make_writable(l2);
}
