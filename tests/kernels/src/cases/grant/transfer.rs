//! Frames that are not there are not transferred, nor those that are in use, which stay where they were. Those that are
//! not in use aren't either, as transfers are not offered.

use super::super::prelude::*;
use crate::control;
use crate::grant::{OWN, Table, operate};
use crate::memory::{KERNEL_RW, entry};
use guest_abi::grant_op::{GrantStatus, GrantTableOp, Transfer};
use guest_abi::ids::GrantRef;
use guest_abi::memory_op::MemoryOp;

/// An entry that a frame may be transferred to.
const ACCEPT_TRANSFER: u16 = 2;
const GREF: u32 = 30;

fn transfer(mfn: Mfn) -> i16 {
    let mut op = Transfer::new_zeroed();
    (op.mfn, op.domid, op.gref, op.status) = (mfn, OWN, GrantRef(GREF), 77);
    let mut ops = [op; 1];
    assert_eq!(operate(GrantTableOp::Transfer, &mut ops), Ok(0));
    ops[0].status
}

/// Frames that the domain has.
fn nr_frames() -> Result<u64, Errno> {
    hypercall!(MemoryOp, MemoryOp::CurrentReservation.number(), &OWN)
}

pub(crate) fn run() {
    let bad_page = GrantStatus::BadPage.number();
    let table = Table::map(1);
    table.fill(GREF, ACCEPT_TRANSFER, OWN, Mfn(0));
    let mut op = Transfer::new_zeroed();
    (op.mfn, op.domid, op.gref, op.status) = (Mfn(0xff_ffff_ffff), OWN, GrantRef(GREF), 77);
    let mut ops = [op; 3];
    assert_eq!(operate(GrantTableOp::Transfer, &mut ops), Ok(0));
    for op in ops {
        assert_eq!(op.status, bad_page);
    }
    assert_eq!(operate::<Transfer>(GrantTableOp::Transfer, &mut []), Ok(0));

    // One's own, mapped here.
    let frame = Frame::alloc();
    frame.write(5, 0x5555);
    let before = nr_frames();
    assert_eq!(transfer(frame.mfn()), bad_page);
    let is_unchanged = || {
        assert_eq!(frame.read(5), 0x5555);
        assert_eq!(nr_frames(), before);
        assert_eq!(Frame::of_mfn(frame.mfn()), frame);
        assert_eq!(table.flags(GREF), ACCEPT_TRANSFER);
    };
    is_unchanged();

    // Mapped nowhere: what the reference offers, it carries out.
    if !control::is_reference() {
        assert_eq!(memory::update_va_mapping(frame.va(), 0, 2), Ok(0));
        assert_eq!(transfer(frame.mfn()), bad_page);
        let entry = entry(frame.mfn(), KERNEL_RW);
        assert_eq!(memory::update_va_mapping(frame.va(), entry, 2), Ok(0));
        is_unchanged();
    }
}
