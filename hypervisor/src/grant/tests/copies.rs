//! Copying.

use super::*;
use crate::grant::test_machine::{Meddling, TestMachine};
use crate::grant::*;
use guest_abi::grant_op::{self, CopyFlags, GrantStatus};
use guest_abi::ids::{DomId, Mfn};
use zerocopy::FromZeros;

fn copy_op(flags: CopyFlags) -> grant_op::Copy {
    let mut op = grant_op::Copy::new_zeroed();
    (op.source.domid, op.dest.domid, op.flags) = (DomId::SELF, DomId::SELF, flags);
    (op.source.frame, op.dest.frame, op.len) = (16, 17, 100);
    op
}

#[track_caller]
fn run_copy(machine: &TestMachine, ops: &[grant_op::Copy]) -> Vec<i16> {
    let array = Array::new(ops);
    let progress = machine.as_domain(1, |cx| copy_all(cx, &array, 0, ops.len() as u32, || false));
    assert_eq!(progress, Progress::Done);
    machine.check();
    array
        .elements
        .into_inner()
        .iter()
        .map(|op| op.status)
        .collect()
}

#[test]
fn copies_go_in_all_directions() {
    let machine = machine();
    let both = CopyFlags::SOURCE_GREF | CopyFlags::DEST_GREF;
    let mut ops = vec![copy_op(CopyFlags::empty()); 4];
    (ops[0].source.offset, ops[0].dest.offset, ops[0].len) = (4095, 0, 1);
    (ops[1].flags, ops[1].source.domid, ops[1].source.frame) =
        (CopyFlags::SOURCE_GREF, DomId(0), 1);
    (ops[2].flags, ops[2].dest.domid, ops[2].dest.frame) = (CopyFlags::DEST_GREF, DomId(0), 2);
    (ops[3].flags, ops[3].source.domid, ops[3].source.frame) = (both, DomId(0), 0);
    (ops[3].dest.domid, ops[3].dest.frame, ops[3].len) = (DomId(0), 1, 4096);
    assert_eq!(run_copy(&machine, &ops), [OKAY; 4]);
    let done = machine.frames.copies.with(|copies| copies.clone());
    let expected = [
        ((Mfn(16), 4095), (Mfn(17), 0), 1),
        ((Mfn(1), 0), (Mfn(17), 0), 100),
        ((Mfn(16), 0), (Mfn(2), 0), 100),
        ((Mfn(0), 0), (Mfn(1), 0), 4096),
    ];
    assert_eq!(done, expected);
    for gref in 0..4 {
        assert_flags(&machine, gref, PERMIT);
    }
}

#[test]
fn copies_are_refused_with_the_expected_status_and_leave_nothing_behind() {
    let machine = machine();
    machine.domain(0).entries.write(5, PERMIT | READONLY, 1, 1);
    machine.domain(0).entries.write(6, PERMIT, 1, 17);
    let before = snapshot(&machine);
    let op = |change: fn(&mut grant_op::Copy)| {
        let mut op = copy_op(CopyFlags::empty());
        change(&mut op);
        op
    };
    let gref = CopyFlags::DEST_GREF;
    let into_gref = |gref: u64| {
        let mut op = copy_op(CopyFlags::DEST_GREF);
        (op.dest.domid, op.dest.frame) = (DomId(0), gref);
        op
    };
    let cases = [
        (
            op(|op| op.source.domid = DomId(0)),
            GrantStatus::PermissionDenied,
        ),
        (
            op(|op| op.source.domid = DomId(1)),
            GrantStatus::PermissionDenied,
        ),
        (
            op(|op| op.dest.domid = DomId(9)),
            GrantStatus::PermissionDenied,
        ),
        (op(|op| op.source.frame = 0), GrantStatus::BadPage),
        (op(|op| op.dest.frame = u64::MAX), GrantStatus::BadPage),
        (op(|op| op.dest.frame = 19), GrantStatus::GeneralError),
        (op(|op| op.source.offset = 3997), GrantStatus::BadCopyArg),
        (op(|op| op.dest.offset = 65535), GrantStatus::BadCopyArg),
        (op(|op| op.len = 4097), GrantStatus::BadCopyArg),
        (
            grant_op::Copy {
                dest: grant_op::CopyPtr {
                    domid: DomId(9),
                    ..op(|_| ()).dest
                },
                flags: gref,
                ..op(|_| ())
            },
            GrantStatus::BadDomain,
        ),
        (into_gref(5), GrantStatus::GeneralError),
        (into_gref(6), GrantStatus::BadPage),
        (into_gref(3), GrantStatus::GeneralError),
        (into_gref(4), GrantStatus::GeneralError),
        (into_gref(512), GrantStatus::BadGntref),
        (into_gref(0xFFFF_FFFF), GrantStatus::BadGntref),
    ];
    for (op, status) in cases {
        assert_eq!(run_copy(&machine, &[op]), [status.number()], "{op:?}");
        assert_eq!(
            snapshot(&machine),
            before,
            "I7: a refusal changes nothing: {op:?}"
        );
    }
    assert_eq!(machine.frames.copies.with(|copies| copies.len()), 0);
    // A length of zero at the very end is no crossing.
    assert_eq!(
        run_copy(&machine, &[op(|op| (op.len, op.source.offset) = (0, 4096))]),
        [OKAY]
    );
}

#[test]
fn a_series_of_copies_keeps_its_frames_and_lets_go_in_the_end() {
    let machine = machine();
    let mut op = copy_op(CopyFlags::DEST_GREF);
    (op.dest.domid, op.dest.frame) = (DomId(0), 1);
    let mut other = op;
    other.dest.frame = 2;
    // The entry is looked at once for neighbours that name it.
    machine
        .domain(0)
        .entries
        .meddling
        .lock()
        .extend([Meddling::Nothing; 3]);
    assert_eq!(run_copy(&machine, &[op, op, op]), [OKAY; 3]);
    assert!(machine.domain(0).entries.meddling.lock().is_empty());
    machine
        .domain(0)
        .entries
        .meddling
        .lock()
        .extend([Meddling::Nothing; 9]);
    assert_eq!(run_copy(&machine, &[op, other, op]), [OKAY; 3]);
    assert!(machine.domain(0).entries.meddling.lock().is_empty());
    assert_flags(&machine, 1, PERMIT);
    assert_flags(&machine, 2, PERMIT);
}

#[test]
fn a_failed_copy_does_not_disturb_its_neighbours() {
    let machine = machine();
    let good = copy_op(CopyFlags::empty());
    let mut bad = good;
    bad.dest.frame = 0x55;
    let statuses = run_copy(&machine, &[good, bad, good]);
    assert_eq!(statuses, [OKAY, GrantStatus::BadPage.number(), OKAY]);
}

#[test]
fn copying_beside_a_mapping_shares_its_use() {
    let machine = machine();
    let handle = map_ok(&machine, 1, HOST | RO, 0x1000);
    let mut op = copy_op(CopyFlags::DEST_GREF);
    (op.dest.domid, op.dest.frame) = (DomId(0), 1);
    assert_eq!(run_copy(&machine, &[op]), [OKAY]);
    assert_flags(&machine, 1, PERMIT | READING);
    assert_eq!(try_unmap(&machine, handle, 0x1000, 0), OKAY);
    assert_flags(&machine, 1, PERMIT);
}
