//! The table has version 1, and a domain that asks for it gets it.

use super::super::prelude::*;
use guest_abi::grant_op::{GetStatusFrames, GetVersion, GrantStatus, GrantTableOp, SetVersion};

fn set(version: u32) -> (Result<u64, Errno>, u32) {
    let mut op = SetVersion { version };
    let outcome = hypercall!(
        GrantTableOp,
        GrantTableOp::SetVersion.number(),
        &mut op,
        1u64
    );
    (outcome, op.version)
}

fn get(dom: DomId) -> (Result<u64, Errno>, u32) {
    let mut op = GetVersion::new_zeroed();
    op.dom = dom;
    let outcome = hypercall!(
        GrantTableOp,
        GrantTableOp::GetVersion.number(),
        &mut op,
        1u64
    );
    (outcome, op.version)
}

pub(crate) fn run() {
    assert_eq!(get(DomId::SELF), (Ok(0), 1));
    assert_eq!(set(1), (Ok(0), 1));
    for version in [0, 3, u32::MAX] {
        assert_eq!(set(version).0, Err(Errno::EINVAL), "{version}");
    }
    assert_eq!(get(DomId::DOM0), (Ok(0), 1));
    assert_eq!(get(DomId(77)).0, Err(Errno::ESRCH));

    // There are no status frames.
    let mut op = GetStatusFrames::new_zeroed();
    (op.dom, op.nr_frames, op.status) = (DomId::SELF, 1, 77);
    let number = GrantTableOp::GetStatusFrames.number();
    assert_eq!(hypercall!(GrantTableOp, number, &mut op, 1u64), Ok(0));
    assert_eq!(op.status, GrantStatus::GeneralError.number());
}
