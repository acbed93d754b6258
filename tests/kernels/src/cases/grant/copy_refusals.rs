//! What can't be copied is refused with its own status; nothing is copied and nothing stays in use.

use super::super::prelude::*;
use crate::grant::{OWN, Table, copy};
use crate::memory::make_readonly;
use guest_abi::grant_op::{Copy, CopyFlags, CopyPtr, GrantStatus};

fn end(frame: u64, domid: DomId, offset: u16) -> CopyPtr {
    let mut end = CopyPtr::new_zeroed();
    (end.frame, end.domid, end.offset) = (frame, domid, offset);
    end
}

pub(crate) fn run() {
    let table = Table::map(1);
    let [from, to, page_table] = Frame::alloc_many();
    table.grant_readonly(22, from);
    table.grant(23, to);
    to.write(0, 0x55);
    from.write(0, 0x66);
    let good = {
        let mut op = Copy::new_zeroed();
        op.flags = CopyFlags::SOURCE_GREF | CopyFlags::DEST_GREF;
        (op.source, op.dest, op.len) = (end(22, OWN, 0), end(23, OWN, 0), 64);
        op
    };
    let refused = |change: &dyn Fn(&mut Copy), expected: GrantStatus| {
        let mut op = good;
        change(&mut op);
        let (flags, source, dest) = (op.flags, op.source.frame, op.dest.frame);
        let status = copy(op);
        assert_eq!(status, expected.number(), "{flags:?} {source:#x} {dest:#x}");
        assert_eq!(to.read(0), 0x55);
        assert_eq!(table.uses(22), (false, false));
        assert_eq!(table.uses(23), (false, false));
    };
    // Past the end of either frame.
    refused(&|op| op.source.offset = 4090, GrantStatus::BadCopyArg);
    refused(&|op| op.dest.offset = 4033, GrantStatus::BadCopyArg);
    refused(&|op| op.len = 4097, GrantStatus::BadCopyArg);
    refused(&|op| op.len = u16::MAX, GrantStatus::BadCopyArg);
    // Written to what may be read only; granted to nobody; not in the table.
    refused(&|op| op.dest.frame = 22, GrantStatus::GeneralError);
    refused(&|op| op.source.frame = 24, GrantStatus::GeneralError);
    refused(&|op| op.source.frame = 512 * 64, GrantStatus::BadGntref);
    // Of nobody.
    refused(&|op| op.source.domid = DomId(77), GrantStatus::BadDomain);
    // Another's frame by its number, and what is nobody's.
    let own_source = |op: &mut Copy, frame: u64, domid: DomId| {
        op.flags = CopyFlags::DEST_GREF;
        op.source = end(frame, domid, 0);
    };
    for domid in [DomId(77), OWN] {
        refused(
            &|op| own_source(op, from.mfn().0, domid),
            GrantStatus::PermissionDenied,
        );
    }
    refused(
        &|op| own_source(op, 0xff_ffff, DomId::SELF),
        GrantStatus::BadPage,
    );
    // Into a page table.
    make_readonly(page_table);
    assert_eq!(memory::pin(1, page_table.mfn()), Ok(0));
    let mut op = good;
    op.flags = CopyFlags::SOURCE_GREF;
    op.dest = end(page_table.mfn().0, DomId::SELF, 0);
    assert!(copy(op) < 0, "copied into a page table");
    assert_eq!(page_table.read(0), 0);
    // And it works after all.
    assert_eq!(copy(good), 0);
    assert_eq!(to.read(0), 0x66);
}
