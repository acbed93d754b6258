//! Every interleaving of operations on the same grant and the same handle, checked by loom:
//! `RUSTFLAGS="--cfg loom" cargo test --release -p hypervisor --lib grant::loom_models`.

use super::environment::Access;
use super::test_machine::TestMachine;
use super::unmap::{self, Unmapped};
use super::*;
use guest_abi::grant_op::{self, CopyFlags, GrantStatus, MapFlags, MapGrantRef, UnmapGrantRef};
use guest_abi::ids::{DomId, GrantRef};
use loom::sync::Arc;
use loom::thread;
use zerocopy::FromZeros;

const PERMIT: u16 = 1;
const READING: u32 = 8;
const WRITING: u32 = 16;
const OKAY: i16 = 0;
const BAD_HANDLE: i16 = GrantStatus::BadHandle as i16;

/// Domain 0 grants its frame 1 to domain 1 by entry 0, and frame 2 by entry 1.
fn machine() -> Arc<TestMachine> {
    let machine = TestMachine::new(2, 1, 1);
    machine.domain(0).entries.write(0, PERMIT, 1, 1);
    machine.domain(0).entries.write(1, PERMIT, 1, 2);
    Arc::new(machine)
}

fn beside<T: 'static>(
    machine: &Arc<TestMachine>,
    f: impl FnOnce(&TestMachine) -> T + 'static,
) -> thread::JoinHandle<T> {
    let machine = Arc::clone(machine);
    thread::spawn(move || f(&machine))
}

fn map_at(machine: &TestMachine, gref: u32, access: Access, at: u64) -> MapGrantRef {
    let mut op = MapGrantRef::new_zeroed();
    (op.gref, op.host_addr, op.flags) = (GrantRef(gref), at, MapFlags::HOST_MAP);
    op.flags.set(MapFlags::READONLY, access == Access::Read);
    machine.as_domain(1, |cx| map::map(cx, &mut op));
    op
}

fn unmap_at(machine: &TestMachine, handle: u32, at: u64) -> i16 {
    let mut op = UnmapGrantRef::new_zeroed();
    (op.handle, op.host_addr) = (handle, at);
    machine.as_domain(1, |cx| {
        let mut batch = Unmapped::new();
        unmap::unmap(cx, &mut op, &mut batch);
        batch.complete(cx);
    });
    op.status
}

fn marks(machine: &TestMachine, gref: u32) -> u32 {
    machine.domain(0).entries.head(gref) & (READING | WRITING)
}

/// The granter revokes; if that works, nobody can reach its frame any more.
fn revoke_and_look(machine: &TestMachine) -> bool {
    let is_revoked = machine.domain(0).entries.revoke(0);
    if is_revoked {
        machine.mappers[1].tables.with(|tables| {
            assert!(tables.present.is_empty() && tables.stale.is_empty());
        });
        assert_eq!(machine.frame(1).references, 0);
    }
    is_revoked
}

#[test]
fn a_handle_is_unmapped_once() {
    loom::model(|| {
        let machine = machine();
        let handle = map_at(&machine, 0, Access::Write, 0x1000).handle;
        let other = beside(&machine, move |m| unmap_at(m, handle, 0x1000));
        let mut statuses = [
            unmap_at(&machine, handle, 0x1000),
            other.join().expect("no panic"),
        ];
        statuses.sort_unstable();
        assert_eq!(statuses, [BAD_HANDLE, OKAY]);
        assert_eq!(marks(&machine, 0), 0);
        machine.check();
    });
}

#[test]
fn a_grant_is_revoked_or_mapped_not_both() {
    loom::model(|| {
        let machine = machine();
        let granter = beside(&machine, |m| m.domain(0).entries.revoke(0));
        let status = map_at(&machine, 0, Access::Write, 0x1000).status;
        let is_revoked = granter.join().expect("no panic");
        assert_ne!(is_revoked, status == OKAY);
        machine.check();
    });
}

#[test]
fn a_granter_that_can_revoke_has_its_frame_back() {
    loom::model(|| {
        let machine = machine();
        let handle = map_at(&machine, 0, Access::Write, 0x1000).handle;
        let granter = beside(&machine, revoke_and_look);
        assert_eq!(unmap_at(&machine, handle, 0x1000), OKAY);
        granter.join().expect("no panic");
        machine.check();
    });
}

#[test]
fn a_granter_that_can_revoke_has_no_copy_under_way() {
    loom::model(|| {
        let machine = machine();
        let granter = beside(&machine, revoke_and_look);
        let mut op = grant_op::Copy::new_zeroed();
        (op.source.domid, op.source.frame, op.flags) = (DomId::SELF, 16, CopyFlags::DEST_GREF);
        machine.as_domain(1, |cx| {
            let mut copier = copy::Copier::new(cx);
            copier.copy(&mut op);
            copier.finish();
        });
        granter.join().expect("no panic");
        assert_eq!(marks(&machine, 0), 0);
        machine.check();
    });
}

#[test]
fn the_last_writer_leaving_does_not_unmark_the_next_one() {
    loom::model(|| {
        let machine = machine();
        let handle = map_at(&machine, 0, Access::Write, 0x1000).handle;
        let other = beside(&machine, |m| map_at(m, 0, Access::Write, 0x2000).status);
        assert_eq!(unmap_at(&machine, handle, 0x1000), OKAY);
        assert_eq!(other.join().expect("no panic"), OKAY);
        assert_eq!(marks(&machine, 0), READING | WRITING);
        machine.check();
    });
}

#[test]
fn a_reader_and_a_writer_at_once_are_both_counted() {
    loom::model(|| {
        let machine = machine();
        let other = beside(&machine, |m| map_at(m, 0, Access::Read, 0x2000));
        let mine = map_at(&machine, 0, Access::Write, 0x1000);
        let theirs = other.join().expect("no panic");
        assert_eq!((mine.status, theirs.status), (OKAY, OKAY));
        assert_ne!(mine.handle, theirs.handle);
        assert_eq!(marks(&machine, 0), READING | WRITING);
        machine.check();
        assert_eq!(unmap_at(&machine, mine.handle, 0x1000), OKAY);
        assert_eq!(marks(&machine, 0), READING);
    });
}

#[test]
fn handles_are_neither_lost_nor_given_twice() {
    // The longest of them: all schedules with up to three preemptions.
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let machine = machine();
        let cycle = |m: &TestMachine, gref: u32, at: u64| {
            let op = map_at(m, gref, Access::Read, at);
            assert_eq!(op.status, OKAY);
            assert_eq!(unmap_at(m, op.handle, at), OKAY);
        };
        let other = beside(&machine, move |m| cycle(m, 0, 0x1000));
        cycle(&machine, 1, 0x2000);
        other.join().expect("no panic");
        machine.check();
        // Both that exist can still be had.
        let first = map_at(&machine, 0, Access::Read, 0x1000);
        let second = map_at(&machine, 1, Access::Read, 0x2000);
        assert_eq!((first.status, second.status), (OKAY, OKAY));
        let third = map_at(&machine, 1, Access::Read, 0x3000);
        assert_eq!(third.status, GrantStatus::NoSpace.number());
        machine.check();
    });
}
