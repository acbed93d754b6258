//! What can't be mapped is refused with its own status, and nothing is in use afterwards.

use super::super::prelude::*;
use crate::grant::{Table, map, map_well, mapping, operate, unmap};
use crate::memory::{SPARE, Tables};
use guest_abi::grant_op::{GrantStatus, GrantTableOp, MapFlags};
use guest_abi::ids::GrantRef;

pub(crate) fn run() {
    let table = Table::map(1);
    let tables = Tables::hook(SPARE);
    let frame = Frame::alloc();
    table.grant(14, frame);
    let host = MapFlags::HOST_MAP;
    let status = |flags, gref, address| map(mapping(flags, gref, address)).status;
    let general = GrantStatus::GeneralError.number();
    let bad_gntref = GrantStatus::BadGntref.number();
    // For nobody.
    assert_eq!(status(MapFlags::empty(), 14, SPARE.0), bad_gntref);
    assert_eq!(status(MapFlags::READONLY, 14, SPARE.0), bad_gntref);
    // Of nobody.
    let mut op = mapping(host, 14, SPARE.0);
    op.dom = DomId(77);
    assert_eq!(map(op).status, GrantStatus::BadDomain.number());
    op.dom = DomId::SELF;
    assert_eq!(map(op).status, GrantStatus::BadDomain.number());
    // Not in the table.
    assert_eq!(status(host, 512 * 64, SPARE.0), bad_gntref);
    assert_eq!(status(host, u32::MAX, SPARE.0), bad_gntref);
    // Not granted; to somebody else; accepts a transfer.
    assert_eq!(status(host, 15, SPARE.0), general);
    table.fill(15, 1, DomId(5), frame.mfn());
    assert_eq!(status(host, 15, SPARE.0), general);
    table.fill(15, 2, DomId::DOM0, frame.mfn());
    assert_eq!(status(host, 15, SPARE.0), general);
    // Not a frame of the granter's.
    table.fill(16, 1, DomId::DOM0, Mfn(0xff_ffff));
    assert!(status(host, 16, SPARE.0) < 0);
    assert_eq!(table.uses(16), (false, false));
    // No table for the address; no address of a guest's.
    for address in [
        SPARE.0 + (2 << 39),
        SPARE.0 + (1 << 21),
        NON_CANONICAL,
        Vaddr::HYPERVISOR_START.0 + 0x1000,
    ] {
        assert_eq!(status(host, 14, address), general, "{address:#x}");
        assert_eq!(table.uses(14), (false, false));
    }
    assert_eq!(tables.l1.read(0), 0);
    // One bad element does not stop the others.
    let mut ops = [
        mapping(host, 14, SPARE.0),
        mapping(host, 15, SPARE.0 + 0x1000),
        mapping(host, 14, SPARE.0 + 0x2000),
    ];
    assert_eq!(operate(GrantTableOp::MapGrantRef, &mut ops), Ok(0));
    assert_eq!(ops.each_ref().map(|op| op.status), [0, general, 0]);
    assert_eq!(ops[1].gref, GrantRef(15));
    for (index, op) in [(0, &ops[0]), (2, &ops[2])] {
        assert_eq!(unmap(op.handle, SPARE.0 + index * 0x1000, 0), 0);
    }
    assert_eq!(table.uses(14), (false, false));

    // Handles: none, one that is gone.
    let bad_handle = GrantStatus::BadHandle.number();
    assert_eq!(unmap(u32::MAX, SPARE.0, 0), bad_handle);
    assert_eq!(unmap(77_777, SPARE.0, 0), bad_handle);
    let done = map_well(host, 14, SPARE.0);
    // Whatever is asked for the other half leaves the mapping.
    assert_eq!(unmap(done.handle, 0, 0), 0);
    assert_eq!(table.uses(14), (true, true));
    for wrong in [SPARE.0 + 0x3000, SPARE.0 + (2 << 39), NON_CANONICAL] {
        assert_eq!(unmap(done.handle, wrong, 0), general, "{wrong:#x}");
        assert_eq!(table.uses(14), (true, true));
    }
    assert_eq!(unmap(done.handle, SPARE.0, 0), 0);
    assert_eq!(unmap(done.handle, SPARE.0, 0), bad_handle);
}
