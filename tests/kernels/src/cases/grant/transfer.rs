//! Frames that are not there are not transferred.

use super::super::prelude::*;
use crate::grant::{Table, operate};
use guest_abi::grant_op::{GrantStatus, GrantTableOp, Transfer};
use guest_abi::ids::GrantRef;

pub(crate) fn run() {
    let table = Table::map(1);
    table.fill(30, 2, DomId::DOM0, Mfn(0));
    let mut op = Transfer::new_zeroed();
    (op.mfn, op.domid, op.gref, op.status) = (Mfn(0xff_ffff_ffff), DomId::DOM0, GrantRef(30), 77);
    let mut ops = [op; 3];
    assert_eq!(operate(GrantTableOp::Transfer, &mut ops), Ok(0));
    for op in ops {
        assert_eq!(op.status, GrantStatus::BadPage.number());
    }
    assert_eq!(table.flags(30), 2);
    assert_eq!(operate::<Transfer>(GrantTableOp::Transfer, &mut []), Ok(0));
}
