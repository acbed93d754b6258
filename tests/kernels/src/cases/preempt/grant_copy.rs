//! Many frames are copied.

use super::super::prelude::*;
use super::{gives_way, listen};
use crate::grant::{OWN, Table, operate};
use guest_abi::grant_op::{Copy, CopyFlags, GrantTableOp};

const COUNT: usize = 1000;
static mut COPIES: [Copy; COUNT] = [const { zerocopy::transmute!([0u8; 40]) }; COUNT];

pub(crate) fn run() {
    listen();
    let table = Table::map(1);
    let [from, to] = Frame::alloc_many();
    table.grant_readonly(20, from);
    table.grant(21, to);
    (0..512).for_each(|word| from.write(word, 0x1000 + word as u64));
    let copies = &raw mut COPIES;
    // SAFETY: only this function, once, uses them.
    let copies = unsafe { &mut *copies };
    gives_way(
        "copy",
        || (0..512).for_each(|word| to.write(word, 0)),
        || {
            // The bytes of the frame, some with each.
            for (index, op) in copies.iter_mut().enumerate() {
                op.flags = CopyFlags::SOURCE_GREF | CopyFlags::DEST_GREF;
                let offset = (index % 8 * 512) as u16;
                (op.source.frame, op.source.domid, op.source.offset) = (20, OWN, offset);
                (op.dest.frame, op.dest.domid, op.dest.offset) = (21, OWN, offset);
                (op.len, op.status) = (512, 77);
            }
            assert_eq!(operate(GrantTableOp::Copy, copies), Ok(0));
            assert!(copies.iter().all(|op| op.status == 0));
        },
    );
    assert!((0..512).all(|word| to.read(word) == from.read(word)));
    assert_eq!(
        (table.uses(20), table.uses(21)),
        ((false, false), (false, false))
    );
}
