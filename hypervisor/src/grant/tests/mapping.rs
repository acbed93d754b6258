//! Mapping.

use super::*;
use crate::grant::environment::*;
use crate::grant::test_machine::{Meddling, TestMachine};
use crate::grant::*;
use crate::sync::atomic::Ordering::SeqCst;
use core::cell::RefCell;
use guest_abi::grant_op::{GrantStatus, MapFlags, MapGrantRef};
use guest_abi::ids::{DomId, GrantRef, Mfn};
use zerocopy::FromZeros;

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
    assert_refused(&machine, 0, DEVICE | RO, 0, GrantStatus::NoSpace);
    for handle in [300, 7, 8] {
        assert_eq!(try_unmap(&machine, handle, 0, 1 << 12), OKAY);
    }
    for handle in [300, 7, 8] {
        assert_eq!(map_ok(&machine, 0, DEVICE | RO, 0), handle);
    }
    assert_refused(&machine, 0, DEVICE | RO, 0, GrantStatus::NoSpace);
    machine.check();
}

#[test]
fn no_memory_for_handles_is_no_handle() {
    let machine = machine();
    let domain = machine.domain(1);
    domain
        .charge_limit
        .store(domain.charged.load(SeqCst), SeqCst);
    assert_refused(&machine, 0, HOST, 0x1000, GrantStatus::NoSpace);
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
