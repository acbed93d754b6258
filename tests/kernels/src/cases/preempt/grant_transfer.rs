//! Many frames that there are not are refused to be transferred.

use super::super::prelude::*;
use super::{gives_way, listen};
use crate::grant::{OWN, operate};
use guest_abi::grant_op::{GrantStatus, GrantTableOp, Transfer};

const COUNT: usize = 8000;
static mut TRANSFERS: [Transfer; COUNT] = [const { zerocopy::transmute!([0u8; 24]) }; COUNT];

pub(crate) fn run() {
    listen();
    let transfers = &raw mut TRANSFERS;
    // SAFETY: only this function, once, uses them.
    let transfers = unsafe { &mut *transfers };
    gives_way(
        "transfer",
        || {},
        || {
            for op in transfers.iter_mut() {
                (op.mfn, op.domid, op.status) = (Mfn(0xff_ffff_ffff), OWN, 77);
            }
            assert_eq!(operate(GrantTableOp::Transfer, transfers), Ok(0));
            let bad_page = GrantStatus::BadPage.number();
            assert!(transfers.iter().all(|op| op.status == bad_page));
        },
    );
}
