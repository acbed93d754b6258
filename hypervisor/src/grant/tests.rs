//! Each operation's results and refusals, one by one.

use super::environment::*;
use super::test_machine::{Meddling, TestMachine};
use super::unmap::{BATCH, Unmapped};
use super::*;
use crate::sync::atomic::Ordering::SeqCst;
use core::cell::RefCell;
use guest_abi::errno::Errno;
use guest_abi::grant_op::{
    self, CopyFlags, GrantStatus, MapFlags, MapGrantRef, Transfer, UnmapAndReplace, UnmapGrantRef,
};
use guest_abi::ids::{DomId, GrantRef, Mfn};
use zerocopy::FromZeros;

/// Flags of an entry.
const PERMIT: u16 = 1;
const ACCEPT_TRANSFER: u16 = 2;
const TRANSITIVE: u16 = 3;
const READONLY: u16 = 4;
const READING: u16 = 8;
const WRITING: u16 = 16;
const SUB_PAGE: u16 = 0x100;

const HOST: MapFlags = MapFlags::HOST_MAP;
const DEVICE: MapFlags = MapFlags::DEVICE_MAP;
const RO: MapFlags = MapFlags::READONLY;

/// Two domains; domain 0 grants frames 0, 1, 2 and its page table 3 to domain 1 by entries 0 to 3.
fn machine() -> TestMachine {
    let machine = TestMachine::new(3, 2, 2);
    for gref in 0..4 {
        machine.domain(0).entries.write(gref, PERMIT, 1, gref);
    }
    machine
}

fn try_map(
    machine: &TestMachine,
    by: u16,
    of: u16,
    gref: u32,
    flags: MapFlags,
    at: u64,
) -> MapGrantRef {
    let mut op = MapGrantRef::new_zeroed();
    (op.dom, op.gref, op.flags, op.host_addr) = (DomId(of), GrantRef(gref), flags, at);
    op.handle = 0xDEAD;
    machine.as_domain(by, |cx| map::map(cx, &mut op));
    op
}

/// Domain 1 maps of domain 0; returns the handle.
#[track_caller]
fn map_ok(machine: &TestMachine, gref: u32, flags: MapFlags, at: u64) -> u32 {
    let op = try_map(machine, 1, 0, gref, flags, at);
    assert_eq!(op.status, GrantStatus::Okay.number());
    op.handle
}

#[track_caller]
fn assert_refused(machine: &TestMachine, gref: u32, flags: MapFlags, at: u64, status: GrantStatus) {
    let before = snapshot(machine);
    let op = try_map(machine, 1, 0, gref, flags, at);
    assert_eq!(op.status, status.number());
    assert_eq!(
        op.handle, 0xDEAD,
        "outputs of a refused element stay as they were"
    );
    assert_eq!(snapshot(machine), before, "I7: a refusal changes nothing");
    machine.check();
}

fn try_unmap(machine: &TestMachine, handle: u32, at: u64, device: u64) -> i16 {
    let mut op = UnmapGrantRef::new_zeroed();
    (op.handle, op.host_addr, op.dev_bus_addr) = (handle, at, device);
    machine.as_domain(1, |cx| {
        let mut batch = Unmapped::new();
        unmap::unmap(cx, &mut op, &mut batch);
        batch.complete(cx);
    });
    op.status
}

fn try_replace(machine: &TestMachine, handle: u32, at: u64, source: u64) -> i16 {
    let mut op = UnmapAndReplace::new_zeroed();
    (op.handle, op.host_addr, op.new_addr) = (handle, at, source);
    machine.as_domain(1, |cx| {
        let mut batch = Unmapped::new();
        unmap::unmap_and_replace(cx, &mut op, &mut batch);
        batch.complete(cx);
    });
    op.status
}

/// Everything that a refused operation must leave as it was.
fn snapshot(machine: &TestMachine) -> impl PartialEq + core::fmt::Debug {
    let heads: Vec<_> = (0..8)
        .map(|gref| machine.domain(0).entries.head(gref))
        .collect();
    let usage: Vec<_> = (0..8)
        .map(|gref| machine.domain(0).grants().usage(GrantRef(gref)))
        .collect();
    let mut handles = Vec::new();
    machine
        .domain(1)
        .grants()
        .for_each_mapping(|number, mapping| handles.push((number, mapping)));
    let present = machine.mappers[1]
        .tables
        .with(|tables| tables.present.clone());
    (
        heads,
        usage,
        handles,
        present,
        machine.frames.frames.with(|frames| frames.clone()),
    )
}

#[track_caller]
fn assert_flags(machine: &TestMachine, gref: u32, flags: u16) {
    assert_eq!(machine.domain(0).entries.head(gref) as u16, flags);
}

const OKAY: i16 = 0;

#[test]
fn a_mapping_marks_the_entry_takes_references_and_says_where_the_frame_is() {
    let machine = machine();
    let op = try_map(&machine, 1, 0, 2, HOST, 0x1000);
    assert_eq!((op.status, op.handle, op.dev_bus_addr), (OKAY, 0, 2 << 12));
    assert_flags(&machine, 2, PERMIT | READING | WRITING);
    assert_eq!(machine.frame(2).references, 1);
    assert_eq!(machine.frame(2).writers, 1);
    assert_eq!(
        machine.mappers[1].tables.with(|t| t.present[&0x1000]),
        (Mfn(2), Access::Write)
    );
    machine.check();

    assert_eq!(try_unmap(&machine, op.handle, 0x1000, 0), OKAY);
    assert_flags(&machine, 2, PERMIT);
    assert_eq!(machine.frame(2).references, 0);
    machine.check();
}

#[test]
fn a_read_only_mapping_marks_reading_only() {
    let machine = machine();
    machine.domain(0).entries.write(1, PERMIT | READONLY, 1, 1);
    let handle = map_ok(&machine, 1, HOST | RO, 0x1000);
    assert_flags(&machine, 1, PERMIT | READONLY | READING);
    assert_eq!(machine.frame(1).writers, 0);
    assert_refused(&machine, 1, HOST, 0x2000, GrantStatus::GeneralError);
    assert_eq!(try_unmap(&machine, handle, 0x1000, 0), OKAY);
    assert_flags(&machine, 1, PERMIT | READONLY);
}

#[test]
fn a_page_table_can_be_mapped_for_reading_only() {
    let machine = machine();
    assert_refused(&machine, 3, HOST, 0x1000, GrantStatus::GeneralError);
    assert_refused(
        &machine,
        3,
        HOST | DEVICE,
        0x1000,
        GrantStatus::GeneralError,
    );
    map_ok(&machine, 3, HOST | RO, 0x1000);
    machine.check();
}

#[test]
fn what_an_entry_does_not_permit_is_refused() {
    let machine = machine();
    let entries = &machine.domain(0).entries;
    for (flags, grantee) in [
        (0, 1),
        (ACCEPT_TRANSFER, 1),
        (TRANSITIVE, 1),
        (PERMIT | SUB_PAGE, 1),
        (PERMIT, 2),
        (PERMIT, 0),
        (PERMIT, DomId::SELF.0),
        (PERMIT, 0xFFFF),
    ] {
        entries.write(5, flags, grantee, 1);
        assert_refused(&machine, 5, HOST, 0x1000, GrantStatus::GeneralError);
        assert_refused(&machine, 5, DEVICE | RO, 0, GrantStatus::GeneralError);
    }
}

#[test]
fn a_frame_that_the_granter_does_not_own_is_refused() {
    let machine = machine();
    for frame in [16, 17, 0x99, u32::MAX] {
        machine.domain(0).entries.write(5, PERMIT, 1, frame);
        for flags in [HOST, HOST | RO, DEVICE, HOST | DEVICE] {
            assert_refused(&machine, 5, flags, 0x1000, GrantStatus::BadPage);
        }
    }
}

#[test]
fn arguments_are_checked_in_the_expected_order() {
    let machine = machine();
    for flags in [
        MapFlags::empty(),
        RO,
        MapFlags::CONTAINS_PTE,
        MapFlags::from_bits_retain(1 << 20),
    ] {
        assert_refused(&machine, 0, flags, 0x1000, GrantStatus::BadGntref);
    }
    for dom in [7, DomId::SELF.0, DomId::IO.0, 0xFFFF] {
        let op = try_map(&machine, 1, dom, 0, HOST, 0x1000);
        assert_eq!(op.status, GrantStatus::BadDomain.number());
    }
    for gref in [512, 513, 1024, u32::MAX] {
        assert_refused(&machine, gref, HOST, 0x1000, GrantStatus::BadGntref);
    }
    for at in [0, 0x9000, u64::MAX] {
        assert_refused(&machine, 0, HOST, at, GrantStatus::GeneralError);
        assert_refused(&machine, 0, HOST | DEVICE, at, GrantStatus::GeneralError);
    }
    for at in [0x1001, 0x1004] {
        assert_refused(
            &machine,
            0,
            HOST | MapFlags::CONTAINS_PTE,
            at,
            GrantStatus::GeneralError,
        );
    }
    map_ok(&machine, 0, HOST | MapFlags::CONTAINS_PTE, 0x1008);
}

#[test]
fn a_domain_may_map_its_own_grant_and_a_third_one_may_not() {
    let machine = machine();
    machine.domain(1).entries.write(4, PERMIT, 1, 16);
    assert_eq!(try_map(&machine, 1, 1, 4, HOST, 0x1000).status, OKAY);
    assert_eq!(
        try_map(&machine, 2, 0, 0, HOST, 0x1000).status,
        GrantStatus::GeneralError.number()
    );
    machine.check();
}

#[test]
fn uses_of_one_grant_add_up_and_marks_go_with_the_last_of_their_sort() {
    let machine = machine();
    let reader = map_ok(&machine, 0, HOST | RO, 0x1000);
    let writer = map_ok(&machine, 0, HOST, 0x2000);
    let both = map_ok(&machine, 0, HOST | DEVICE, 0x3000);
    assert_eq!(machine.frame(0).references, 4);
    let (grantee, frame, pins) = machine
        .domain(0)
        .grants()
        .usage(GrantRef(0))
        .expect("in use");
    assert_eq!((grantee, frame), (DomId(1), Mfn(0)));
    assert_eq!(
        pins,
        Pins {
            host_read: 1,
            host_write: 2,
            device_read: 0,
            device_write: 1
        }
    );

    assert_eq!(try_unmap(&machine, writer, 0x2000, 0), OKAY);
    assert_flags(&machine, 0, PERMIT | READING | WRITING);
    assert_eq!(try_unmap(&machine, both, 0x3000, 0), OKAY);
    assert_flags(&machine, 0, PERMIT | READING | WRITING);
    machine.check();
    // The same handle still stands for the device's mapping.
    assert_eq!(try_unmap(&machine, both, 0x3000, 0), OKAY);
    assert_eq!(
        try_unmap(&machine, both, 0, 1 << 12),
        GrantStatus::BadDevAddr.number()
    );
    assert_eq!(machine.frame(0).references, 2);
    machine.check();
    // Frame 0 lies at address 0, which would mean "leave it"; so its device mapping stays.
    assert_eq!(try_unmap(&machine, reader, 0x1000, 0), OKAY);
    assert_flags(&machine, 0, PERMIT | READING | WRITING);
    machine.check();
}

#[test]
fn marks_of_a_device_use_go_with_it() {
    let machine = machine();
    let handle = map_ok(&machine, 1, HOST | DEVICE, 0x1000);
    let reader = map_ok(&machine, 1, DEVICE | RO, 0);
    assert_eq!(try_unmap(&machine, handle, 0x1000, 1 << 12), OKAY);
    assert_flags(&machine, 1, PERMIT | READING);
    assert_eq!(try_unmap(&machine, reader, 0x1000, 1 << 12), OKAY);
    assert_flags(&machine, 1, PERMIT);
    assert_eq!(machine.frame(1).references, 0);
    machine.check();
}

#[test]
fn nothing_is_unmapped_by_a_request_that_names_nothing() {
    let machine = machine();
    let handle = map_ok(&machine, 1, HOST | DEVICE, 0x1000);
    assert_eq!(try_unmap(&machine, handle, 0, 0), OKAY);
    assert_eq!(machine.frame(1).references, 2);
    assert_eq!(try_unmap(&machine, handle, 0x1000, 1 << 12), OKAY);
    assert_eq!(
        try_unmap(&machine, handle, 0, 0),
        GrantStatus::BadHandle.number()
    );
}

#[test]
fn a_handle_unmaps_only_what_it_stands_for() {
    let machine = machine();
    let one = map_ok(&machine, 1, HOST, 0x1000);
    let two = map_ok(&machine, 2, HOST, 0x2000);
    let one_again = map_ok(&machine, 1, HOST | RO, 0x3000);
    let before = snapshot(&machine);
    for (handle, at, device, status) in [
        // Another frame's entry.
        (one, 0x2000, 0, GrantStatus::GeneralError),
        // The same frame, mapped with other rights: a confusion that would unbalance the counts.
        (one, 0x3000, 0, GrantStatus::GeneralError),
        (one_again, 0x1000, 0, GrantStatus::GeneralError),
        // Nothing there.
        (two, 0x4000, 0, GrantStatus::GeneralError),
        // No such handle.
        (3, 0x1000, 0, GrantStatus::BadHandle),
        (511, 0x1000, 0, GrantStatus::BadHandle),
        (512, 0x1000, 0, GrantStatus::BadHandle),
        (u32::MAX, 0x1000, 0, GrantStatus::BadHandle),
    ] {
        assert_eq!(try_unmap(&machine, handle, at, device), status.number());
        assert_eq!(snapshot(&machine), before, "I7: a refusal changes nothing");
        machine.check();
    }
}

#[test]
fn a_wrong_device_address_leaves_the_cpu_mapping_too() {
    let machine = machine();
    let handle = map_ok(&machine, 1, HOST | DEVICE, 0x1000);
    let before = snapshot(&machine);
    assert_eq!(
        try_unmap(&machine, handle, 0x1000, 2 << 12),
        GrantStatus::BadDevAddr.number()
    );
    assert_eq!(snapshot(&machine), before);
    assert_eq!(
        try_unmap(&machine, handle, 0x2000, 1 << 12),
        GrantStatus::GeneralError.number()
    );
    assert_eq!(snapshot(&machine), before);
    assert_eq!(try_unmap(&machine, handle, 0x1000, 1 << 12), OKAY);
}

#[test]
fn a_second_unmap_finds_no_handle_even_within_a_batch() {
    let machine = machine();
    let handle = map_ok(&machine, 1, HOST, 0x1000);
    let mut ops = [UnmapGrantRef::new_zeroed(); 2];
    for op in &mut ops {
        (op.handle, op.host_addr) = (handle, 0x1000);
    }
    let array = Array::new(&ops);
    let progress = machine.as_domain(1, |cx| unmap_all(cx, &array, 0, 2, || false));
    assert_eq!(progress, Progress::Done);
    let statuses = array
        .elements
        .borrow()
        .iter()
        .map(|op| op.status)
        .collect::<Vec<_>>();
    assert_eq!(statuses, [OKAY, GrantStatus::BadHandle.number()]);
    assert_eq!(machine.frame(1).references, 0);
    machine.check();
}

#[test]
fn both_halves_of_a_handle_may_be_unmapped_by_neighbours_in_a_batch() {
    let machine = machine();
    let handle = map_ok(&machine, 1, HOST | DEVICE, 0x1000);
    let mut ops = [UnmapGrantRef::new_zeroed(); 2];
    (ops[0].handle, ops[0].host_addr) = (handle, 0x1000);
    (ops[1].handle, ops[1].dev_bus_addr) = (handle, 1 << 12);
    let array = Array::new(&ops);
    assert_eq!(
        machine.as_domain(1, |cx| unmap_all(cx, &array, 0, 2, || false)),
        Progress::Done
    );
    assert!(array.elements.borrow().iter().all(|op| op.status == OKAY));
    assert_flags(&machine, 1, PERMIT);
    machine.check();
}

#[test]
fn an_entry_cleared_by_the_guest_itself_leaves_the_grant_in_use() {
    let machine = machine();
    let handle = map_ok(&machine, 1, HOST, 0x1000);
    machine.mapper(1).clear(0x1000);
    assert_eq!(machine.frame(1).references, 0);
    assert_eq!(
        try_unmap(&machine, handle, 0x1000, 0),
        GrantStatus::GeneralError.number()
    );
    assert_flags(&machine, 1, PERMIT | READING | WRITING);
    assert!(!machine.domain(0).entries.revoke(1));
    machine.check();
}

#[test]
fn a_leaked_use_does_not_give_access_to_a_frame_that_went_to_somebody_else() {
    let machine = machine();
    map_ok(&machine, 1, HOST, 0x1000);
    machine.mapper(1).clear(0x1000);
    // The granter gets rid of the frame, which nothing references; domain 2 has it now.
    machine
        .frames
        .frames
        .with(|frames| frames.get_mut(&1).expect("exists").owner = 2);
    assert_refused(&machine, 1, HOST, 0x1000, GrantStatus::BadPage);
    assert_refused(&machine, 1, DEVICE | RO, 0, GrantStatus::BadPage);
}

#[test]
fn mapping_over_a_mapping_drops_the_old_reference() {
    let machine = machine();
    let lost = map_ok(&machine, 1, HOST, 0x1000);
    map_ok(&machine, 2, HOST, 0x1000);
    assert_eq!(machine.frame(1).references, 0);
    assert_eq!(
        try_unmap(&machine, lost, 0x1000, 0),
        GrantStatus::GeneralError.number()
    );
    machine.check();
}

#[test]
fn the_frame_of_a_use_stays_what_it_was_whatever_the_entry_says() {
    let machine = machine();
    let handle = map_ok(&machine, 1, HOST | RO, 0x1000);
    // The granter breaks the rules: another frame, another grantee, under a reader.
    machine.domain(0).entries.write(1, PERMIT | READING, 2, 2);
    assert_refused(&machine, 1, HOST, 0x2000, GrantStatus::GeneralError);
    assert_eq!(
        try_map(&machine, 2, 0, 1, HOST, 0x1000).status,
        GrantStatus::GeneralError.number()
    );
    machine.domain(0).entries.write(1, PERMIT | READING, 1, 2);
    // An upgrade to writing looks at the entry, and does not take what it says for the old frame.
    assert_refused(&machine, 1, HOST, 0x2000, GrantStatus::GeneralError);
    assert_flags(&machine, 1, PERMIT | READING);
    // One more reader does not look.
    let again = map_ok(&machine, 1, HOST | RO, 0x2000);
    assert_eq!(
        machine.mappers[1].tables.with(|t| t.present[&0x2000]),
        (Mfn(1), Access::Read)
    );
    assert_eq!(try_unmap(&machine, again, 0x2000, 0), OKAY);
    assert_eq!(try_unmap(&machine, handle, 0x1000, 0), OKAY);
    assert_eq!(machine.frame(1).references, 0);
    machine.check();
}

#[test]
fn the_number_of_uses_is_bounded_and_never_wraps() {
    let machine = TestMachine::new(2, 1, 4);
    machine.domain(0).entries.write(1, PERMIT, 1, 1);
    let mut handles = Vec::new();
    for _ in 0..128 {
        handles.push(map_ok(&machine, 1, DEVICE, 0));
    }
    assert_refused(&machine, 1, DEVICE, 0, GrantStatus::GeneralError);
    assert_refused(&machine, 1, HOST | RO, 0x1000, GrantStatus::GeneralError);
    for handle in handles {
        assert_eq!(try_unmap(&machine, handle, 0, 1 << 12), OKAY);
    }
    assert_flags(&machine, 1, PERMIT);
    machine.check();
}

#[test]
fn handles_are_bounded_charged_and_reused_as_late_as_possible() {
    let machine = TestMachine::new(2, 1, 1);
    for gref in 0..512 {
        machine.domain(0).entries.write(gref, PERMIT, 1, 1);
    }
    for gref in 0..512 {
        assert_eq!(map_ok(&machine, gref, DEVICE | RO, 0), gref);
    }
    assert_eq!(machine.domain(1).charged.load(SeqCst), 512 * 16 + 4096);
    assert_refused(&machine, 0, DEVICE | RO, 0, GrantStatus::NoDeviceSpace);
    for handle in [300, 7, 8] {
        assert_eq!(try_unmap(&machine, handle, 0, 1 << 12), OKAY);
    }
    for handle in [300, 7, 8] {
        assert_eq!(map_ok(&machine, 0, DEVICE | RO, 0), handle);
    }
    assert_refused(&machine, 0, DEVICE | RO, 0, GrantStatus::NoDeviceSpace);
    machine.check();
}

#[test]
fn no_memory_for_handles_is_no_handle() {
    let machine = machine();
    let domain = machine.domain(1);
    domain
        .charge_limit
        .store(domain.charged.load(SeqCst), SeqCst);
    assert_refused(&machine, 0, HOST, 0x1000, GrantStatus::NoDeviceSpace);
    domain.charge_limit.store(usize::MAX, SeqCst);
    map_ok(&machine, 0, HOST, 0x1000);
}

#[test]
fn an_entry_that_never_holds_still_is_given_up() {
    let machine = machine();
    let meddle = |count: u16| {
        let mut meddling = machine.domain(0).entries.meddling.lock();
        meddling.clear();
        // A different harmless flag each time, so that each exchange fails.
        meddling.extend(
            (0..count).map(|n| Meddling::Head(u32::from(PERMIT | (n % 2 + 1) << 5) | 1 << 16)),
        );
    };
    meddle(5);
    assert_eq!(try_map(&machine, 1, 0, 1, HOST, 0x1000).status, OKAY);
    meddle(64);
    assert_eq!(
        try_map(&machine, 1, 0, 1, HOST | RO, 0x2000).status,
        OKAY,
        "one more reader beside a writer does not look at the entry"
    );
    assert_eq!(
        try_map(&machine, 1, 0, 2, HOST, 0x3000).status,
        GrantStatus::GeneralError.number()
    );
    machine.domain(0).entries.meddling.lock().clear();
    machine.check();
}

#[test]
fn a_grant_revoked_between_look_and_exchange_is_not_mapped() {
    let machine = machine();
    machine
        .domain(0)
        .entries
        .meddling
        .lock()
        .extend([Meddling::Nothing, Meddling::Head(0)]);
    assert_eq!(
        try_map(&machine, 1, 0, 1, HOST, 0x1000).status,
        GrantStatus::GeneralError.number()
    );
    assert_flags(&machine, 1, 0);
    machine.check();
}

#[test]
fn a_frame_changed_after_the_exchange_is_judged_as_it_was_read() {
    let machine = machine();
    // After the exchange and before the frame is read: a frame of somebody else's.
    machine.domain(0).entries.meddling.lock().extend([
        Meddling::Nothing,
        Meddling::Nothing,
        Meddling::Frame(17),
    ]);
    assert_eq!(
        try_map(&machine, 1, 0, 1, HOST, 0x1000).status,
        GrantStatus::BadPage.number()
    );
    assert_flags(&machine, 1, PERMIT);
    machine.check();
}

#[test]
fn replacing_moves_the_other_entry() {
    let machine = machine();
    let one = map_ok(&machine, 1, HOST, 0x1000);
    let two = map_ok(&machine, 2, HOST | RO, 0x2000);
    let before = snapshot(&machine);
    assert_eq!(
        try_replace(&machine, one, 0x1000, 0xF000),
        GrantStatus::GeneralError.number()
    );
    assert_eq!(
        try_replace(&machine, one, 0x2000, 0x1000),
        GrantStatus::GeneralError.number()
    );
    assert_eq!(
        try_replace(&machine, 99, 0x1000, 0x2000),
        GrantStatus::BadHandle.number()
    );
    assert_eq!(snapshot(&machine), before);
    assert_eq!(try_replace(&machine, one, 0x1000, 0x2000), OKAY);
    let present = machine.mappers[1]
        .tables
        .with(|tables| tables.present.clone());
    assert_eq!(
        present.into_iter().collect::<Vec<_>>(),
        [(0x1000, (Mfn(2), Access::Read))]
    );
    assert_eq!(try_unmap(&machine, two, 0x1000, 0), OKAY);
    machine.check();
}

#[test]
fn replacing_with_nothing_unmaps_and_by_entry_is_refused() {
    let machine = machine();
    let plain = map_ok(&machine, 1, HOST, 0x1000);
    assert_eq!(try_replace(&machine, plain, 0x1000, 0), OKAY);
    let by_entry = map_ok(&machine, 1, HOST | MapFlags::CONTAINS_PTE, 0x1000);
    assert_eq!(
        try_replace(&machine, by_entry, 0x1000, 0x2000),
        GrantStatus::GeneralError.number()
    );
    assert_eq!(try_replace(&machine, by_entry, 0x1000, 0), OKAY);
    machine.check();
}

#[test]
fn mapping_flags_reach_the_level_1_entry() {
    #[derive(Default)]
    struct Recorder(RefCell<Vec<HostMapping>>);
    impl Mapper for Recorder {
        fn create(&self, mapping: &HostMapping) -> Result<(), MapError> {
            self.0.borrow_mut().push(*mapping);
            Ok(())
        }
        fn destroy(&self, _: HostTarget, _: Mfn, _: Access) -> Result<(), MapError> {
            Err(MapError)
        }
        fn replace(
            &self,
            _: guest_abi::ids::Vaddr,
            _: Mfn,
            _: Access,
            _: guest_abi::ids::Vaddr,
        ) -> Result<(), MapError> {
            Err(MapError)
        }
        fn flush(&self) {}
    }
    let machine = machine();
    let recorder = Recorder::default();
    let cx = Context {
        domains: &machine.domains,
        caller: machine.domain(1),
        frames: &machine.frames,
        mapper: &recorder,
    };
    for flags in [0x0001_0002, 0x0006_001E, 0xFFF8_0006] {
        let mut op = MapGrantRef::new_zeroed();
        (op.host_addr, op.flags, op.gref) =
            (0x7008, MapFlags::from_bits_retain(flags), GrantRef(1));
        map::map(cx, &mut op);
        assert_eq!(op.status, OKAY);
    }
    let at = guest_abi::ids::Vaddr(0x7008);
    let plain = HostMapping {
        target: HostTarget::Address(at),
        frame: Mfn(1),
        access: Access::Write,
        is_user: false,
        available_bits: 1,
    };
    let expected = [
        plain,
        HostMapping {
            target: HostTarget::Entry(0x7008),
            access: Access::Read,
            is_user: true,
            available_bits: 6,
            ..plain
        },
        HostMapping {
            access: Access::Read,
            available_bits: 0,
            ..plain
        },
    ];
    assert_eq!(*recorder.0.borrow(), expected);
}

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

#[test]
fn a_table_grows_to_its_limit() {
    let machine = machine();
    let domain = machine.domain(0);
    assert_eq!(domain.grants().size(), (1, 2));
    assert_eq!(domain.grants().set_up(domain, 0), GrantStatus::Okay);
    assert_eq!(domain.grants().set_up(domain, 1), GrantStatus::Okay);
    assert_eq!(domain.grants().size(), (1, 2));
    for nr_frames in [3, u32::MAX] {
        assert_eq!(
            domain.grants().set_up(domain, nr_frames),
            GrantStatus::GeneralError
        );
        assert_eq!(
            domain.grants().grow(domain, nr_frames),
            Err(GrowError::TooMany)
        );
    }
    assert_eq!(domain.grants().size(), (1, 2));
    assert_eq!(domain.grants().set_up(domain, 2), GrantStatus::Okay);
    assert_eq!(domain.grants().size(), (2, 2));
    assert_eq!(domain.entries().frame(1), Some(Mfn(0x1001)));
    domain.entries.write(1023, PERMIT, 1, 2);
    map_ok(&machine, 1023, HOST, 0x1000);
    machine.check();
}

#[test]
fn no_memory_for_a_grant_frame_is_a_general_error_and_can_be_tried_again() {
    let machine = machine();
    let domain = machine.domain(0);
    let charged = domain.charged.load(SeqCst);
    domain.charge_limit.store(charged, SeqCst);
    assert_eq!(domain.grants().set_up(domain, 2), GrantStatus::GeneralError);
    assert_eq!(domain.charged.load(SeqCst), charged);
    domain.charge_limit.store(usize::MAX, SeqCst);
    domain.entries.frames_available.store(1, SeqCst);
    assert_eq!(domain.grants().set_up(domain, 2), GrantStatus::GeneralError);
    assert_eq!(domain.grants().size(), (1, 2));
    domain.entries.frames_available.store(2, SeqCst);
    assert_eq!(domain.grants().set_up(domain, 2), GrantStatus::Okay);
    assert_eq!(domain.charged.load(SeqCst), charged * 2);
}

#[test]
fn only_version_1_is_offered() {
    let machine = machine();
    let table = machine.domain(0).grants();
    assert_eq!(table.version(), 1);
    assert_eq!(table.set_version(1), Ok(()));
    assert_eq!(table.set_version(2), Err(Errno::ENOSYS));
    for version in [0, 3, u32::MAX] {
        assert_eq!(table.set_version(version), Err(Errno::EINVAL));
    }
    assert_eq!(table.status_frames(0), GrantStatus::Okay);
    assert_eq!(table.status_frames(1), GrantStatus::GeneralError);
}

#[test]
fn transfers_are_refused_with_the_frame_kept() {
    let array = Array::new(&[Transfer::new_zeroed(); 3]);
    assert_eq!(refuse_transfers(&array, 0, 3, || false), Progress::Done);
    assert!(
        array
            .elements
            .borrow()
            .iter()
            .all(|op| op.status == GrantStatus::BadPage.number())
    );
}

/// An array in guest memory; beyond its end nothing can be read, and one element may be unwritable.
struct Array<T> {
    elements: RefCell<Vec<T>>,
    unwritable: Option<u32>,
}

impl<T: Copy> Array<T> {
    fn new(elements: &[T]) -> Self {
        Self {
            elements: RefCell::new(elements.to_vec()),
            unwritable: None,
        }
    }
}

impl<T: Copy> OpArray<T> for Array<T> {
    fn read(&self, index: u32) -> Result<T, Fault> {
        self.elements
            .borrow()
            .get(index as usize)
            .copied()
            .ok_or(Fault)
    }

    fn write(&self, index: u32, element: &T) -> Result<(), Fault> {
        if self.unwritable == Some(index) {
            return Err(Fault);
        }
        self.elements.borrow_mut()[index as usize] = *element;
        Ok(())
    }
}

fn many_maps(count: u32) -> Array<MapGrantRef> {
    let mut op = MapGrantRef::new_zeroed();
    (op.flags, op.gref) = (DEVICE, GrantRef(1));
    Array::new(&vec![op; count as usize])
}

#[test]
fn a_call_stops_when_asked_and_goes_on_where_it_stopped() {
    let machine = machine();
    let array = many_maps(10);
    let mut first = 0;
    let mut stops = 0;
    loop {
        let mut asked = 0;
        let stop = || {
            asked += 1;
            asked == 3
        };
        match machine.as_domain(1, |cx| map_all(cx, &array, first, 10, stop)) {
            Progress::Done => break,
            Progress::At(next) => {
                assert_eq!(next, first + 3);
                first = next;
                stops += 1;
            }
            Progress::Fault(_) => panic!("all can be read"),
        }
    }
    assert_eq!(stops, 3);
    let handles: Vec<_> = array.elements.borrow().iter().map(|op| op.handle).collect();
    assert_eq!(handles, (0..10).collect::<Vec<_>>());
    // Even when asked at once, something is done.
    assert_eq!(
        machine.as_domain(1, |cx| map_all(cx, &many_maps(5), 2, 5, || true)),
        Progress::At(3)
    );
    assert_eq!(
        machine.as_domain(1, |cx| map_all(cx, &many_maps(5), 5, 5, || true)),
        Progress::Done
    );
}

#[test]
fn a_fault_ends_the_call_after_what_was_done() {
    let machine = machine();
    assert_eq!(
        machine.as_domain(1, |cx| map_all(cx, &many_maps(2), 0, 4, || false)),
        Progress::Fault(2)
    );
    let handle = map_ok(&machine, 1, HOST, 0x1000);
    let other = map_ok(&machine, 2, HOST, 0x2000);
    let mut ops = [UnmapGrantRef::new_zeroed(); 2];
    (ops[0].handle, ops[0].host_addr) = (handle, 0x1000);
    (ops[1].handle, ops[1].host_addr) = (other, 0x2000);
    let mut array = Array::new(&ops);
    array.unwritable = Some(1);
    // The element whose status can't be written is unmapped all the same, and flushed.
    let progress = machine.as_domain(1, |cx| unmap_all(cx, &array, 0, 9, || false));
    assert_eq!(progress, Progress::Fault(1));
    assert_flags(&machine, 2, PERMIT);
    machine.check();
}

#[test]
fn one_flush_serves_a_batch_and_none_is_made_for_devices() {
    let machine = TestMachine::new(2, 1, 1);
    machine.domain(0).entries.write(1, PERMIT, 1, 1);
    let count = BATCH as u32 + 1;
    let (mut host, mut device) = (Vec::new(), Vec::new());
    for at in (0x1000u64..).step_by(8).take(count as usize) {
        let mut op = UnmapGrantRef::new_zeroed();
        (op.handle, op.host_addr) = (map_ok(&machine, 1, HOST, at), at);
        host.push(op);
        let mut op = UnmapGrantRef::new_zeroed();
        (op.handle, op.dev_bus_addr) = (map_ok(&machine, 1, DEVICE, 0), 1 << 12);
        device.push(op);
    }
    let flushes = || machine.mappers[1].tables.with(|tables| tables.flushes);
    let array = Array::new(&device);
    assert_eq!(
        machine.as_domain(1, |cx| unmap_all(cx, &array, 0, count, || false)),
        Progress::Done
    );
    assert_eq!(flushes(), 0);
    let array = Array::new(&host);
    assert_eq!(
        machine.as_domain(1, |cx| unmap_all(cx, &array, 0, count, || false)),
        Progress::Done
    );
    assert_eq!(flushes(), 2);
    assert_flags(&machine, 1, PERMIT);
    machine.check();
}

#[test]
fn a_dead_domain_lets_go_of_all_it_has_mapped() {
    let machine = machine();
    for (gref, flags, at) in [
        (0, HOST, 0x1000),
        (1, HOST | DEVICE, 0x2000),
        (2, DEVICE | RO, 0),
        (1, HOST | RO, 0x3000),
    ] {
        map_ok(&machine, gref, flags, at);
    }
    // Its page tables go first, and the references of their entries with them.
    for at in [0x1000, 0x2000, 0x3000] {
        machine.mapper(1).clear(at);
    }
    let mut first = Handle(0);
    let mut rounds = 0;
    while let Released::At(next) = release_all(
        &machine.domains,
        machine.domain(1),
        &machine.frames,
        first,
        || true,
    ) {
        assert!(next > first);
        first = next;
        rounds += 1;
    }
    assert_eq!(rounds, 511);
    for gref in 0..4 {
        assert_flags(&machine, gref, PERMIT);
        assert_eq!(machine.frame(u64::from(gref)).references, 0);
    }
    machine.check();
}

#[test]
fn a_dying_granter_grants_no_more_and_its_mapped_frames_stay_until_unmapped() {
    let machine = machine();
    let handle = map_ok(&machine, 1, HOST, 0x1000);
    machine.domain(0).grants().close_for_good();
    assert_refused(&machine, 1, HOST | RO, 0x2000, GrantStatus::GeneralError);
    assert_refused(&machine, 2, HOST, 0x2000, GrantStatus::GeneralError);
    assert_eq!(machine.frame(1).references, 1);
    assert_eq!(try_unmap(&machine, handle, 0x1000, 0), OKAY);
    assert_flags(&machine, 1, PERMIT);
    machine.check();
}
