//! Bytes are copied between granted frames and own ones, in all four directions, and nothing but those bytes.

use super::super::prelude::*;
use crate::grant::{OWN, Table, copy, operate};
use guest_abi::grant_op::{Copy, CopyFlags, CopyPtr, GrantTableOp};

fn end(frame: u64, domid: DomId, offset: u16) -> CopyPtr {
    let mut end = CopyPtr::new_zeroed();
    (end.frame, end.domid, end.offset) = (frame, domid, offset);
    end
}

pub(crate) fn run() {
    let table = Table::map(1);
    let [from, to] = Frame::alloc_many();
    table.grant_readonly(20, from);
    table.grant(21, to);
    for (index, flags) in (0..4).map(|bits| (u64::from(bits), CopyFlags::from_bits_retain(bits))) {
        for word in 0..512 {
            from.write(word, 0x1000 * index + word as u64);
            to.write(word, !0);
        }
        let mut op = Copy::new_zeroed();
        op.flags = flags;
        op.source = if flags.contains(CopyFlags::SOURCE_GREF) {
            end(20, OWN, 80)
        } else {
            end(from.mfn().0, DomId::SELF, 80)
        };
        op.dest = if flags.contains(CopyFlags::DEST_GREF) {
            end(21, OWN, 160)
        } else {
            end(to.mfn().0, DomId::SELF, 160)
        };
        op.len = 800;
        assert_eq!(copy(op), 0, "{flags:?}");
        for word in 0..512 {
            let expected = match word {
                20..120 => 0x1000 * index + word as u64 - 10,
                _ => !0,
            };
            assert_eq!(to.read(word), expected, "{flags:?}, word {word}");
        }
        assert_eq!(table.uses(20), (false, false));
        assert_eq!(table.uses(21), (false, false));
    }
    // Whole frames, and nothing, many in one call.
    let mut op = Copy::new_zeroed();
    op.flags = CopyFlags::SOURCE_GREF | CopyFlags::DEST_GREF;
    (op.source, op.dest) = (end(20, OWN, 0), end(21, OWN, 0));
    let mut ops = [op; 32];
    for (index, op) in ops.iter_mut().enumerate() {
        op.len = if index % 2 == 0 { 4096 } else { 0 };
    }
    assert_eq!(operate(GrantTableOp::Copy, &mut ops), Ok(0));
    assert!(ops.iter().all(|op| op.status == 0));
    for word in 0..512 {
        assert_eq!(to.read(word), from.read(word));
    }
    // Within one frame, overlapping.
    let mut op = Copy::new_zeroed();
    op.flags = CopyFlags::DEST_GREF;
    (op.source, op.dest) = (end(to.mfn().0, DomId::SELF, 0), end(21, OWN, 8));
    op.len = 16;
    let before = to.read(0);
    assert_eq!(copy(op), 0);
    assert_eq!(to.read(1), before);
}
