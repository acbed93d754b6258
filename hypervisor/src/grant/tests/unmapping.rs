//! Unmapping, by request and at the end of a domain.

use super::*;
use crate::grant::environment::*;
use crate::grant::*;
use guest_abi::grant_op::{GrantStatus, MapFlags, UnmapGrantRef};
use guest_abi::ids::{DomId, GrantRef, Mfn};
use zerocopy::FromZeros;

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
    // So its granter may not be freed: the handle names it by number.
    assert!(machine.domain(0).grants().is_in_use());
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
