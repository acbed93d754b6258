//! The rules of entries: what they may map, who may write them, and what a change owes.

use super::*;

#[test]
fn recursive_tables_large_pages_and_foreign_tables_are_refused() {
    lab!(lab);
    lab.pin(lab.l4, Level::L4).unwrap();
    for (table, level) in [(lab.l4, 4), (lab.l3, 3), (lab.l2, 2)] {
        let linear = table.address() | TABLE & !pte::WRITABLE;
        assert_eq!(
            lab.set(table, 3, linear),
            Err(MmError::NotATable),
            "level {level}"
        );
        let large = lab.l1.address() | TABLE | pte::PAGE_SIZE_BIT;
        assert_eq!(lab.set(table, 3, large), Err(MmError::BadFlags));
        let device = Mfn(RAM_END + 8).address() | TABLE;
        assert_eq!(lab.set(table, 3, device), Err(MmError::NotATable));
        assert_eq!(
            lab.set(table, 3, Mfn(FRAMES + 9).address() | TABLE),
            Err(MmError::BadFrame)
        );
    }
    let foreign = lab.machine.allocate(DOM0).unwrap();
    assert_eq!(
        lab.set(lab.l2, 3, foreign.address() | TABLE),
        Err(MmError::NotATable)
    );
    assert_eq!(lab.set(foreign, 3, 0), Err(MmError::BadFrame));
}

#[test]
fn the_hypervisors_slots_of_a_root_are_its_own() {
    lab!(lab);
    lab.machine.set_entry(lab.l4, 256, u64::MAX);
    lab.machine.set_entry(lab.l4, 271, lab.l1.address() | TABLE);
    lab.pin(lab.l4, Level::L4).unwrap();
    for slot in 256..272 {
        assert_eq!(lab.machine.entry(lab.l4, slot), hypervisor_entry(slot));
        for value in [0, lab.l3.address() | TABLE] {
            assert_eq!(lab.set(lab.l4, slot, value), Err(MmError::HypervisorSlot));
        }
    }
    assert_eq!(MmError::HypervisorSlot.errno(), Errno::EINVAL);
    let address = Vaddr(0xFFFF_8000_0000_0000);
    let lock = &lab.domains[1].locked();
    assert_eq!(
        lab.mm.walk(lock, lab.l4, address),
        Err(MmError::HypervisorSlot)
    );
}

#[test]
fn a_walk_finds_the_l1_entry_of_an_address() {
    lab!(lab);
    lab.machine.set_entry(lab.l4, 511, lab.l3.address() | TABLE);
    lab.machine.set_entry(lab.l3, 510, lab.l2.address() | TABLE);
    lab.machine.set_entry(lab.l2, 3, lab.l1.address() | TABLE);
    lab.pin(lab.l4, Level::L4).unwrap();
    let lock = &lab.domains[1].locked();
    let place = lab
        .mm
        .walk(lock, lab.l4, Vaddr(0xFFFF_FFFF_8060_5123))
        .unwrap();
    assert_eq!((place.table, place.slot.number()), (lab.l1, 5));
    let missing = lab.mm.walk(lock, lab.l4, Vaddr(0xFFFF_FFFF_8080_0000));
    assert_eq!(missing, Err(MmError::NotMapped));
    assert_eq!(lab.mm.walk(lock, lab.l3, Vaddr(0)), Err(MmError::NotATable));
}

#[test]
fn foreign_pages_need_privilege_and_take_references_of_their_owner() {
    lab!(lab);
    assert_eq!(
        Parties::new(lab.machine, DOM1, DOM1, DOM0),
        Err(MmError::NotPrivileged)
    );
    assert_eq!(
        Parties::new(lab.machine, DOM1, DOM0, DOM1),
        Err(MmError::NotPrivileged)
    );
    assert!(Parties::new(lab.machine, DOM0, DOM1, DOM1).is_ok());
    assert!(Parties::new(lab.machine, DOM1, DOM1, DomId::IO).is_ok());
    lab.pin(lab.l4, Level::L4).unwrap();
    let table = lab.machine.allocate(DOM0).unwrap();
    lab.mm
        .pin(&mut lab.domains[0].locked(), table, Level::L1)
        .unwrap();
    assert_eq!(
        lab.map(table, DOM0, lab.page.address() | RW),
        Err(MmError::WrongOwner)
    );
    lab.map(table, DOM1, lab.page.address() | RW).unwrap();
    assert_eq!(lab.books(lab.page), (3, 2));
    assert_eq!(
        lab.map(table, DOM1, lab.l1.address() | RW),
        Err(MmError::TypeConflict)
    );
    assert_eq!(lab.books(lab.page), (3, 2));
    lab.map(table, DOM1, lab.l1.address() | RO).unwrap();
    assert_eq!(lab.books(lab.page), (2, 1));
    // The right to write to somebody else's page is not got by changing a flag.
    lab.map(table, DOM1, lab.page.address() | RO).unwrap();
    assert_eq!(
        lab.map(table, DOM0, lab.page.address() | RW),
        Err(MmError::WrongOwner)
    );
    lab.map(table, DOM0, lab.page.address() | RO | pte::ACCESSED)
        .unwrap();
}

#[test]
fn device_memory_is_for_those_with_rights_and_not_cached() {
    lab!(lab);
    let device = Mfn(RAM_END + 6);
    lab.pin(lab.l1, Level::L1).unwrap();
    assert_eq!(
        lab.map(lab.l1, DOM1, device.address() | RW),
        Err(MmError::NoIoRights)
    );
    assert_eq!(MmError::NoIoRights.errno(), Errno::EPERM);
    let table = lab.machine.allocate(DOM0).unwrap();
    lab.mm
        .pin(&mut lab.domains[0].locked(), table, Level::L1)
        .unwrap();
    for owner in [DOM0, DomId::IO] {
        lab.map(table, owner, device.address() | RW).unwrap();
        let expected = device.address() | RW | pte::PWT | pte::PCD;
        assert_eq!(lab.machine.entry(table, 9), expected);
    }
    lab.map(table, DOM0, READ_ONLY_DEVICE.address() | RW)
        .unwrap();
    assert_eq!(lab.machine.entry(table, 9) & pte::WRITABLE, 0);
    // A change of flags does not bring the right to write back.
    lab.map(table, DOM0, lab.machine.entry(table, 9) | pte::WRITABLE)
        .unwrap();
    assert_eq!(lab.machine.entry(table, 9) & pte::WRITABLE, 0);
    let forbidden = FORBIDDEN_DEVICE.address() | RO;
    assert_eq!(lab.map(table, DOM0, forbidden), Err(MmError::NoIoRights));
    // On behalf of a domain without the right.
    assert_eq!(
        lab.map(table, DOM1, device.address() | RO),
        Err(MmError::NoIoRights)
    );
    // Free memory is no device. A number that no machine has is one that nobody may have, but for the
    // number that stands for no frame.
    assert_eq!(
        lab.map(table, DOM0, Mfn(RAM_END - 1).address() | RO),
        Err(MmError::WrongOwner)
    );
    for number in [FRAMES + 9, 0x80_0000_0000, 0xFF_FFFF_FFFE] {
        for owner in [DOM0, DOM1, DomId::IO] {
            let entry = Mfn(number).address() | RO;
            assert_eq!(lab.map(table, owner, entry), Err(MmError::NoIoRights));
        }
    }
    assert_eq!(
        lab.map(table, DOM0, 0xFF_FFFF_FFFF << 12 | RO),
        Err(MmError::BadFrame)
    );
    assert_eq!(MmError::BadFrame.errno(), Errno::EINVAL);
}

#[test]
fn accessed_and_dirty_bits_are_preserved_when_asked_for() {
    lab!(lab);
    lab.pin(lab.l1, Level::L1).unwrap();
    let entry = lab.machine.entry(lab.l1, 0);
    lab.machine
        .set_entry(lab.l1, 0, entry | pte::ACCESSED | pte::DIRTY);
    let parties = Parties::alone(DOM1);
    let lock = &mut lab.domains[1].locked();
    let preserve = Request {
        ptr: lab.l1.address() | 2,
        val: entry & !pte::WRITABLE,
    };
    let _ = lab.mm.mmu_update_one(lock, parties, preserve).unwrap();
    let kept = pte::ACCESSED | pte::DIRTY;
    assert_eq!(lab.machine.entry(lab.l1, 0), entry & !pte::WRITABLE | kept);
    let replace = Request {
        ptr: lab.l1.address(),
        val: entry,
    };
    let _ = lab.mm.mmu_update_one(lock, parties, replace).unwrap();
    assert_eq!(lab.machine.entry(lab.l1, 0), entry);
}

#[test]
fn a_list_ends_at_the_first_error_and_counts_what_is_done() {
    lab!(lab);
    lab.pin(lab.l4, Level::L4).unwrap();
    let at = |slot: u64, val| Request {
        ptr: lab.l1.address() | slot << 3,
        val,
    };
    let good = lab.page.address() | RO;
    let bad = lab.l1.address() | RW;
    let requests = [at(1, good), at(2, good), at(3, bad), at(4, good)];
    let lock = &mut lab.domains[1].locked();
    let (mut done, mut owed) = (0, Owed::NOTHING);
    let parties = Parties::alone(DOM1);
    let result = lab
        .mm
        .mmu_update(lock, parties, &requests, &mut done, &mut owed);
    assert_eq!(
        (result, done),
        (Err(Stop::Failed(MmError::TypeConflict)), 2)
    );
    assert_eq!(owed, Owed::NOTHING);
    assert_eq!(lab.machine.entry(lab.l1, 3), 0);
    // Interrupted between any two, and gone on with.
    lab.machine.yield_every(1);
    let (mut done, mut calls) = (0, 0);
    while lab
        .mm
        .mmu_update(lock, parties, &requests[done..2], &mut done, &mut owed)
        .is_err()
    {
        calls += 1;
    }
    assert_eq!((done, calls), (2, 1));
    for ptr in [lab.l1.address() | 4, lab.l1.address() | 0x1C] {
        let result = lab
            .mm
            .mmu_update_one(lock, parties, Request { ptr, val: 0 });
        assert_eq!(result, Err(Stop::Failed(MmError::BadFrame)), "misaligned");
    }
}

#[test]
fn a_change_above_l1_owes_a_flush_if_something_was_there() {
    lab!(lab);
    lab.pin(lab.l4, Level::L4).unwrap();
    let other = lab.machine.allocate(DOM1).unwrap();
    let quiet = Owed::NOTHING;
    assert_eq!(lab.set(lab.l2, 1, other.address() | TABLE), Ok(quiet));
    let flush = Owed {
        is_flush: true,
        is_roots: false,
    };
    assert_eq!(lab.set(lab.l2, 1, 0), Ok(flush));
    assert_eq!(
        lab.set(lab.l4, 1, 0),
        Ok(Owed {
            is_flush: false,
            is_roots: true
        })
    );
    assert_eq!(
        lab.set(lab.l4, 0, 0),
        Ok(Owed {
            is_flush: true,
            is_roots: true
        })
    );
    assert_eq!(lab.books(lab.l3), (1, 0));
    assert_eq!(lab.books(lab.page), (1, 0));
}

#[test]
fn parts_of_an_entry_are_stored_and_exchanged() {
    lab!(lab);
    lab.pin(lab.l1, Level::L1).unwrap();
    let lock = &mut lab.domains[1].locked();
    let low = EntryPart::new(0, 4).unwrap();
    let high = EntryPart::new(4, 4).unwrap();
    assert_eq!(
        lab.mm.read_entry_part(lock, lab.l1, low),
        Ok(lab.page.address() | RW)
    );
    let read_only = low.of(lab.page.address() | RO);
    lab.mm.emulate_store(lock, lab.l1, low, read_only).unwrap();
    assert_eq!(lab.machine.entry(lab.l1, 0), lab.page.address() | RO);
    lab.mm.emulate_store(lock, lab.l1, high, 1 << 31).unwrap();
    assert_eq!(
        lab.machine.entry(lab.l1, 0),
        lab.page.address() | RO | pte::NO_EXECUTE
    );
    let whole = EntryPart::new(8, 8).unwrap();
    let exchange = |lock: &mut _, expected, new| {
        lab.mm
            .emulate_compare_exchange(lock, lab.l1, whole, expected, new)
    };
    assert_eq!(
        exchange(lock, 1, lab.page.address() | RW),
        Ok(Exchange::Differs(0))
    );
    assert_eq!(
        exchange(lock, 0, lab.page.address() | RW),
        Ok(Exchange::Done)
    );
    assert_eq!(
        exchange(lock, 0, 0),
        Ok(Exchange::Differs(lab.page.address() | RW))
    );
    let refused = exchange(lock, lab.page.address() | RW, lab.l1.address() | RW);
    assert_eq!(refused, Err(Stop::Failed(MmError::TypeConflict)));
    let not_a_table = lab.mm.emulate_store(lock, lab.l2, whole, 0);
    assert_eq!(not_a_table, Err(Stop::Failed(MmError::NotATable)));
    for (offset, size) in [
        (1, 2),
        (2, 4),
        (4, 8),
        (0, 3),
        (0, 16),
        (0, 0),
        (4096, 8),
        (8191, 1),
    ] {
        assert_eq!(EntryPart::new(offset, size), None, "{offset} {size}");
    }
    assert_eq!(lab.books(lab.page), (3, 1));
}

/// A processor sets accessed and dirty bits in an entry between a look at it and its exchange.
#[test]
fn an_exchange_that_a_processor_is_ahead_of_changes_nothing() {
    lab!(lab);
    let other = lab.machine.allocate(DOM1).unwrap();
    lab.pin(lab.l1, Level::L1).unwrap();
    let whole = EntryPart::new(0, 8).unwrap();
    let page = lab.page.address();
    let touched = pte::ACCESSED | pte::DIRTY;
    for old in [page | RO, page | RW] {
        for new in [
            0,
            page | RO,
            page | RW,
            page | RW | pte::NO_EXECUTE,
            other.address() | RO,
            other.address() | RW,
        ] {
            let _ = lab.set(lab.l1, 0, old).unwrap();
            let before = [lab.page, other].map(|frame| lab.books(frame));
            lab.machine.touch_next(touched);
            let lock = &mut lab.domains[1].locked();
            let outcome = lab
                .mm
                .emulate_compare_exchange(lock, lab.l1, whole, old, new);
            assert_eq!(outcome, Ok(Exchange::Differs(old | touched)), "{new:#x}");
            assert_eq!(lab.machine.entry(lab.l1, 0), old | touched);
            let after = [lab.page, other].map(|frame| lab.books(frame));
            assert_eq!(after, before, "{old:#x} {new:#x}");

            // A plain store goes on from what it finds then.
            lab.machine.touch_next(touched);
            let lock = &mut lab.domains[1].locked();
            let _ = lab.mm.emulate_store(lock, lab.l1, whole, new);
            assert_eq!(lab.machine.entry(lab.l1, 0), new);
            let _ = lab.set(lab.l1, 0, 0).unwrap();
            assert_eq!(
                [lab.page, other].map(|frame| lab.books(frame)),
                [(1, 0), (1, 0)]
            );
            lab.machine.touch_next(0);
        }
    }
}

#[test]
fn accessed_and_dirty_bits_that_come_at_the_last_moment_are_preserved() {
    lab!(lab);
    lab.pin(lab.l1, Level::L1).unwrap();
    let touched = pte::ACCESSED | pte::DIRTY;
    let request = |val| Request {
        ptr: lab.l1.address() | 2,
        val,
    };
    let page = lab.page.address();
    for (bits, value) in [(touched, page | RO), (pte::ACCESSED, page | RW)] {
        lab.machine.touch_next(bits);
        let lock = &mut lab.domains[1].locked();
        let _ = lab
            .mm
            .mmu_update_one(lock, Parties::alone(DOM1), request(value))
            .unwrap();
        assert_eq!(
            lab.machine.entry(lab.l1, 0) & touched,
            touched,
            "of now and of before"
        );
    }
}

#[test]
fn unknown_and_foreign_requests_on_the_machine_to_physical_table_are_refused() {
    lab!(lab);
    let lock = &mut lab.domains[1].locked();
    let set = |mfn: Mfn| Request {
        ptr: mfn.address() | 1,
        val: 5,
    };
    assert!(
        lab.mm
            .mmu_update_one(lock, Parties::alone(DOM1), set(lab.page))
            .is_ok()
    );
    let foreign = lab.machine.allocate(DOM0).unwrap();
    for mfn in [foreign, Mfn(FRAMES + 1), Mfn(RAM_END + 6)] {
        let result = lab.mm.mmu_update_one(lock, Parties::alone(DOM1), set(mfn));
        assert_eq!(result, Err(Stop::Failed(MmError::BadFrame)));
    }
}
