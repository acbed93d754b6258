//! The rules one by one, as a guest meets them.

use super::block::SharedAccess;
use super::emulate::{EntryPart, Exchange};
use super::error::{MmError, Stop};
use super::lock::PtDomain;
use super::mmu_update::{Parties, Request};
use super::model::policy;
use super::ownership::FramesLock;
use super::platform::Slot;
use super::pte;
use super::reference::Mm;
use super::test_guest::repeat;
use super::test_machine::{
    DOM0, DOM1, FORBIDDEN_DEVICE, FRAMES, RAM_END, READ_ONLY_DEVICE, TestMachine, frame_entries,
    hypervisor_entry,
};
use super::typ::{Level, Type, TypeWord};
use super::update::{AccessedDirty, Owed};
use super::verify::{Outside, Tally};
use guest_abi::errno::Errno;
use guest_abi::ids::{DomId, Mfn, Vaddr};
use std::sync::atomic::Ordering;

const RO: u64 = pte::PRESENT | pte::USER | pte::GLOBAL;
const RW: u64 = RO | pte::WRITABLE;
const TABLE: u64 = pte::PRESENT | pte::WRITABLE | pte::USER | pte::ACCESSED;

/// Two domains, a chain of tables in the ordinary one.
struct Lab<'t> {
    machine: &'t TestMachine<'t>,
    mm: Mm<'t, TestMachine<'t>>,
    domains: [PtDomain; 2],
    l1: Mfn,
    l2: Mfn,
    l3: Mfn,
    l4: Mfn,
    page: Mfn,
}

impl<'t> Lab<'t> {
    fn new(machine: &'t TestMachine<'t>) -> Self {
        let [l1, l2, l3, l4, page] = [(); 5].map(|()| machine.allocate(DOM1).unwrap());
        machine.set_entry(l4, 0, l3.address() | TABLE);
        machine.set_entry(l3, 0, l2.address() | TABLE);
        machine.set_entry(l2, 0, l1.address() | TABLE);
        machine.set_entry(l1, 0, page.address() | RW);
        let domains = [DOM0, DOM1].map(|domain| PtDomain::new(domain, policy(domain)));
        Self {
            machine,
            mm: Mm::new(machine.table, machine),
            domains,
            l1,
            l2,
            l3,
            l4,
            page,
        }
    }

    fn pin(&mut self, mfn: Mfn, level: Level) -> Result<(), MmError> {
        repeat(|| self.mm.pin(&mut self.domains[1].locked(), mfn, level))
    }

    fn unpin(&mut self, mfn: Mfn) -> Result<(), MmError> {
        repeat(|| self.mm.unpin(&mut self.domains[1].locked(), mfn))
    }

    fn set(&mut self, table: Mfn, slot: u16, value: u64) -> Result<Owed, MmError> {
        let ptr = table.address() | u64::from(slot) << 3;
        let request = Request { ptr, val: value };
        let lock = &mut self.domains[1].locked();
        repeat(|| self.mm.mmu_update_one(lock, Parties::alone(DOM1), request))
    }

    /// `caller` (with its own tables) maps a frame of `owner`.
    fn map(&mut self, table: Mfn, owner: DomId, value: u64) -> Result<(), MmError> {
        let caller = self
            .machine
            .table
            .get(table)
            .unwrap()
            .owner()
            .domain()
            .unwrap();
        let lock = &mut self.domains[usize::from(caller.0)].locked();
        let slot = Slot::new(9).unwrap();
        repeat(|| {
            self.mm
                .update_l1(lock, table, slot, value, AccessedDirty::Replace, owner)
        })
    }

    fn word(&self, mfn: Mfn) -> TypeWord {
        TypeWord::load(self.machine.table.get(mfn).unwrap())
    }

    fn books(&self, mfn: Mfn) -> (u64, u64) {
        let frame = self.machine.table.get(mfn).unwrap();
        (frame.reference_count(), TypeWord::load(frame).count())
    }

    fn flushes(&self, action: impl FnOnce(&Self)) -> u64 {
        let before = self.machine.flushes.load(Ordering::Relaxed);
        action(self);
        self.machine.flushes.load(Ordering::Relaxed) - before
    }
}

macro_rules! lab {
    ($lab:ident) => {
        let entries = frame_entries();
        let machine = TestMachine::new(&entries);
        #[allow(unused_mut)]
        let mut $lab = Lab::new(&machine);
    };
}

#[test]
fn a_table_in_force_is_not_writable_and_a_writable_frame_is_no_table() {
    lab!(lab);
    lab.pin(lab.l4, Level::L4).unwrap();
    for table in [lab.l1, lab.l2, lab.l3, lab.l4] {
        assert_eq!(
            lab.set(lab.l1, 5, table.address() | RW),
            Err(MmError::TypeConflict)
        );
        let _ = lab.set(lab.l1, 5, table.address() | RO).unwrap();
        let _ = lab.set(lab.l1, 5, 0).unwrap();
        let writable = lab.mm.get_writable_frame(table, DOM1, DOM0);
        assert_eq!(writable, Err(MmError::TypeConflict));
    }
    assert_eq!(lab.pin(lab.page, Level::L1), Err(MmError::NotATable));
    assert_eq!(MmError::NotATable.errno(), Errno::EINVAL);
    assert_eq!(MmError::TypeConflict.errno(), Errno::EBUSY);
}

#[test]
fn a_table_referenced_already_can_be_pinned_and_pins_are_exact() {
    lab!(lab);
    lab.pin(lab.l4, Level::L4).unwrap();
    assert_eq!(lab.books(lab.l1), (2, 1));
    lab.pin(lab.l1, Level::L1).unwrap();
    assert_eq!(lab.books(lab.l1), (3, 2));
    assert_eq!(lab.pin(lab.l1, Level::L1), Err(MmError::AlreadyPinned));
    assert_eq!(lab.pin(lab.l2, Level::L1), Err(MmError::NotATable));
    lab.unpin(lab.l1).unwrap();
    assert_eq!(lab.unpin(lab.l1), Err(MmError::NotPinned));
    assert_eq!(lab.books(lab.l1), (2, 1));
}

#[test]
fn what_was_unpinned_can_be_written_at_once() {
    lab!(lab);
    lab.pin(lab.l4, Level::L4).unwrap();
    let other = lab.machine.allocate(DOM1).unwrap();
    lab.pin(other, Level::L1).unwrap();
    assert_eq!(
        lab.set(other, 1, lab.l4.address() | RW),
        Err(MmError::TypeConflict)
    );
    lab.unpin(lab.l4).unwrap();
    for table in [lab.l4, lab.l3, lab.l2, lab.l1] {
        let _ = lab.set(other, 1, table.address() | RW).unwrap();
    }
    assert_eq!(lab.books(lab.page), (1, 0));
}

#[test]
fn a_loaded_root_is_in_force_until_it_is_put() {
    lab!(lab);
    let lock = &mut lab.domains[1].locked();
    let root = lab.mm.get_root(lock, lab.l4).unwrap();
    let again = lab.mm.get_root(lock, root.mfn()).unwrap();
    assert_eq!(
        lab.mm.get_root(lock, lab.l3),
        Err(Stop::Failed(MmError::NotATable))
    );
    lab.mm.put_root(lock, again);
    let writable = lab.mm.get_writable_frame(lab.l4, DOM1, DOM1);
    assert_eq!(writable, Err(MmError::TypeConflict));
    lab.mm.put_root(lock, root);
    let writable = lab.mm.get_writable_frame(lab.l4, DOM1, DOM1).unwrap();
    lab.mm.put_writable_frame(writable);
}

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
fn shared_frames_stay_what_they_are() {
    lab!(lab);
    let table = lab.machine.allocate(DOM0).unwrap();
    lab.mm
        .pin(&mut lab.domains[0].locked(), table, Level::L1)
        .unwrap();
    let block = lab.machine.allocate_block().unwrap();
    let shared = block.share_with(lab.machine.table, DOM0, SharedAccess::ReadWrite);
    lab.map(table, DOM0, shared.address() | RW).unwrap();
    let uncached = shared.address() | RW | pte::PCD;
    assert_eq!(
        lab.map(table, DOM0, uncached),
        Err(MmError::SharedCacheAttributes)
    );
    assert_eq!(MmError::SharedCacheAttributes.errno(), Errno::EACCES);
    let lock = &mut lab.domains[0].locked();
    assert_eq!(
        lab.mm.pin(lock, shared, Level::L1),
        Err(Stop::Failed(MmError::NotATable))
    );
    assert_eq!(lab.mm.steal(shared, DOM0), Err(MmError::InUse));
    let free = lab.machine.buddy.lock().unwrap().free_frames();
    lab.mm.unshare(shared);
    assert_eq!(lab.machine.buddy.lock().unwrap().free_frames(), free);
    lab.map(table, DOM0, 0).unwrap();
    assert_eq!(lab.machine.buddy.lock().unwrap().free_frames(), free + 1);

    let block = lab.machine.allocate_block().unwrap();
    let constant = block.share_with(lab.machine.table, DomId::XEN, SharedAccess::ReadOnly);
    lab.map(table, DomId::XEN, constant.address() | RO).unwrap();
    let writable = lab.map(table, DomId::XEN, constant.address() | RW);
    assert_eq!(writable, Err(MmError::TypeConflict));
}

#[test]
fn a_change_of_type_is_flushed_once_and_only_when_it_must() {
    lab!(lab);
    let write = |lab: &Lab<'_>, user| {
        let page = lab.mm.get_writable_frame(lab.l1, DOM1, user).unwrap();
        lab.mm.put_writable_frame(page);
    };
    let pin = |lab: &Lab<'_>| {
        let mut domain = PtDomain::new(DOM1, policy(DOM1));
        lab.mm.pin(&mut domain.locked(), lab.l1, Level::L1).unwrap();
        lab.mm.unpin(&mut domain.locked(), lab.l1).unwrap();
    };
    assert_eq!(lab.flushes(pin), 0, "never used before");
    assert_eq!(lab.flushes(pin), 0, "the same type again");
    assert_eq!(
        lab.flushes(|lab| write(lab, DOM1)),
        1,
        "a table becomes writable"
    );
    assert_eq!(
        lab.flushes(|lab| write(lab, DOM1)),
        0,
        "it is writable still"
    );
    assert_eq!(lab.flushes(pin), 1, "a writable frame becomes a table");

    // Only processors that ran the owner, and have not flushed since, are troubled.
    let run = |processor, domain| {
        lab.machine.walk(
            processor,
            domain,
            (lab.l4, Type::None),
            &mut super::test_support::Rng::new(1),
            false,
        );
    };
    let ran = |processor: usize| lab.machine.processors.lock().unwrap()[processor].has_run();
    run(0, DOM1);
    run(1, DOM0);
    write(&lab, DOM1);
    assert!(!ran(0) && ran(1));
    run(0, DOM1);
    pin(&lab);
    assert!(!ran(0) && ran(1));
    // Another domain could write to it: its processors count too, once.
    write(&lab, DOM0);
    assert!(lab.word(lab.l1).is_foreign());
    run(0, DOM1);
    pin(&lab);
    assert!(!ran(0) && !ran(1));
    assert!(!lab.word(lab.l1).is_foreign());
}

#[test]
fn a_frame_that_was_a_table_of_another_level_is_flushed_too() {
    lab!(lab);
    let frame = lab.machine.allocate(DOM1).unwrap();
    let flushes = lab.machine.flushes.load(Ordering::Relaxed);
    for level in [Level::L2, Level::L1, Level::L3, Level::L2] {
        lab.pin(frame, level).unwrap();
        lab.unpin(frame).unwrap();
    }
    assert_eq!(lab.machine.flushes.load(Ordering::Relaxed) - flushes, 3);
    let stamp = lab.word(frame).stamp();
    lab.machine.walk(
        0,
        DOM1,
        (frame, Type::None),
        &mut super::test_support::Rng::new(1),
        false,
    );
    lab.pin(frame, Level::L1).unwrap();
    lab.unpin(frame).unwrap();
    assert!(
        lab.word(frame).stamp().is_after(stamp),
        "the stamp is of the last use"
    );
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

#[test]
fn a_residue_keeps_strangers_out_and_goes_when_the_owner_wants_the_frame() {
    lab!(lab);
    let other = lab.machine.allocate(DOM1).unwrap();
    lab.pin(other, Level::L1).unwrap();
    lab.machine.set_entry(lab.l2, 1, lab.l1.address() | TABLE);
    let interrupt = |lab: &mut Lab<'_>| {
        lab.machine.yield_once(1);
        let lock = &mut lab.domains[1].locked();
        assert_eq!(lab.mm.pin(lock, lab.l2, Level::L2), Err(Stop::Preempted));
        assert!(lab.word(lab.l2).is_stopped());
        assert_eq!(lab.books(lab.l2), (2, 0));
        assert_eq!(lab.books(lab.l1), (2, 1));
    };
    interrupt(&mut lab);
    let stranger = lab.mm.get_writable_frame(lab.l2, DOM1, DOM0);
    assert_eq!(stranger, Err(MmError::Residue));
    assert_eq!(lab.mm.steal(lab.l2, DOM1), Err(MmError::InUse));
    // By an update,
    let _ = lab.set(other, 0, lab.l2.address() | RW).unwrap();
    assert_eq!((lab.books(lab.l2), lab.books(lab.l1)), ((2, 1), (1, 0)));
    let _ = lab.set(other, 0, 0).unwrap();
    // an emulated store,
    interrupt(&mut lab);
    let part = EntryPart::new(0, 8).unwrap();
    let entry = lab.l2.address() | RW;
    lab.mm
        .emulate_store(&mut lab.domains[1].locked(), other, part, entry)
        .unwrap();
    let _ = lab.set(other, 0, 0).unwrap();
    // a store into it,
    interrupt(&mut lab);
    let _ = lab.set(lab.l2, 7, 0).unwrap();
    // or another type.
    interrupt(&mut lab);
    // (Which this one can't be: its L1 maps a page, and global at that.)
    assert_eq!(lab.pin(lab.l2, Level::L3), Err(MmError::BadFlags));
    repeat(|| lab.mm.finish_pending(&mut lab.domains[1].locked())).unwrap();
    assert_eq!(lab.books(lab.l1), (1, 0));
    interrupt(&mut lab);
    assert_eq!(lab.pin(lab.l2, Level::L2), Ok(()));
}

#[test]
fn a_failed_validation_leaves_nothing_behind() {
    lab!(lab);
    lab.machine
        .set_entry(lab.l2, 511, lab.page.address() | TABLE | pte::PWT);
    assert_eq!(lab.pin(lab.l4, Level::L4), Err(MmError::BadFlags));
    repeat(|| lab.mm.finish_pending(&mut lab.domains[1].locked())).unwrap();
    for mfn in [lab.l1, lab.l2, lab.l3, lab.l4, lab.page] {
        assert_eq!(lab.books(mfn), (1, 0), "{mfn}");
        assert!(!lab.word(mfn).is_partial());
    }
}

#[test]
fn counts_do_not_overflow() {
    lab!(lab);
    lab.pin(lab.l2, Level::L2).unwrap();
    lab.unpin(lab.l2).unwrap();
    let frame = lab.machine.table.get(lab.page).unwrap();
    let full = TypeWord((Type::Writable as u64) | 1 << 3 | TypeWord::MAX_COUNT << 7);
    full.store(frame);
    assert_eq!(lab.set(lab.l2, 0, 0), Ok(Owed::NOTHING));
    let writable = lab.mm.get_writable_frame(lab.page, DOM1, DOM1);
    assert_eq!(writable, Err(MmError::TooManyReferences));
    TypeWord::UNTYPED.store(frame);
    let full = super::frame::refs::MAX_COUNT | super::frame::refs::ALLOCATED;
    frame.refs.store(full, Ordering::Relaxed);
    assert_eq!(
        lab.mm.get_frame(lab.page, DOM1),
        Err(MmError::TooManyReferences)
    );
    assert_eq!(MmError::TooManyReferences.errno(), Errno::EBUSY);
}

#[test]
fn memory_is_given_back_only_when_nothing_uses_it() {
    lab!(lab);
    lab.pin(lab.l1, Level::L1).unwrap();
    assert_eq!(lab.mm.give_back(lab.page, DOM1), Err(MmError::InUse));
    assert_eq!(lab.mm.give_back(lab.page, DOM0), Err(MmError::WrongOwner));
    let _ = lab.set(lab.l1, 0, 0).unwrap();
    lab.machine.set_entry(lab.page, 0, 0x1234);
    let held = lab.mm.steal(lab.page, DOM1).unwrap();
    assert_eq!(lab.mm.get_frame(lab.page, DOM1), Err(MmError::WrongOwner));
    held.restore(lab.machine.table);
    assert_eq!(lab.machine.entry(lab.page, 0), 0x1234);
    lab.mm.give_back(lab.page, DOM1).unwrap();
    assert_eq!(lab.mm.give_back(lab.page, DOM1), Err(MmError::WrongOwner));
    assert_eq!(
        lab.machine.domains[1].with_frames(|frames| frames.total()),
        4
    );
    // Whoever gets it next finds zeroes.
    while let Some(mfn) = lab.machine.allocate(DOM0) {
        assert_eq!(lab.machine.entry(mfn, 0), 0);
    }
}

#[test]
fn a_dead_domains_frames_live_until_others_let_go() {
    lab!(lab);
    lab.pin(lab.l4, Level::L4).unwrap();
    let table = lab.machine.allocate(DOM0).unwrap();
    lab.mm
        .pin(&mut lab.domains[0].locked(), table, Level::L1)
        .unwrap();
    lab.map(table, DOM1, lab.page.address() | RW).unwrap();
    let lock = &mut lab.domains[1].locked();
    repeat(|| lab.mm.relinquish(lock, &lab.machine.domains[1])).unwrap();
    let zombies = |lab: &Lab<'_>| lab.machine.domains[1].with_frames(|frames| frames.zombies());
    assert_eq!(zombies(&lab), 1);
    assert_eq!(lab.books(lab.page), (1, 1));
    lab.map(table, DOM0, 0).unwrap();
    assert_eq!(zombies(&lab), 0);
}

#[test]
fn pages_are_cleared_and_copied_only_if_they_are_plain() {
    lab!(lab);
    lab.pin(lab.l4, Level::L4).unwrap();
    lab.machine.set_entry(lab.page, 5, 77);
    let other = lab.machine.allocate(DOM1).unwrap();
    lab.mm.copy_page(other, lab.page, DOM1, DOM0).unwrap();
    lab.mm.clear_page(lab.page, DOM1, DOM0).unwrap();
    assert_eq!(
        (lab.machine.entry(other, 5), lab.machine.entry(lab.page, 5)),
        (77, 0)
    );
    assert_eq!(
        lab.mm.clear_page(lab.l1, DOM1, DOM1),
        Err(MmError::NotATable)
    );
    assert_eq!(
        lab.mm.copy_page(lab.l2, other, DOM1, DOM1),
        Err(MmError::NotATable)
    );
    lab.mm.copy_page(other, lab.l2, DOM1, DOM1).unwrap();
    assert_eq!((lab.books(other), lab.books(lab.l2)), ((1, 0), (2, 1)));
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

#[test]
fn the_audit_finds_what_is_wrong() {
    lab!(lab);
    lab.pin(lab.l4, Level::L4).unwrap();
    let audit = |lab: &Lab<'_>, outside: Option<Mfn>| {
        let mut scratch = vec![Tally::default(); FRAMES as usize];
        let outside = outside.map(|mfn| Outside {
            mfn,
            tally: Tally {
                general: 1,
                typed: 0,
            },
        });
        let mut found = std::vec::Vec::new();
        let mut report = |finding: super::verify::Finding| {
            assert!(!std::format!("{finding}").is_empty());
            found.push(finding.mfn);
        };
        let domains = lab.domains.iter();
        lab.mm
            .verify(domains, outside.into_iter(), &mut scratch, &mut report)
            .unwrap();
        found
    };
    assert_eq!(audit(&lab, None), []);
    assert_eq!(audit(&lab, Some(lab.page)), [lab.page]);
    let extra = lab.mm.get_frame(lab.l2, DOM1).unwrap();
    assert_eq!(audit(&lab, None), [lab.l2]);
    lab.mm.put_frame(extra);
    let entry = lab.machine.entry(lab.l1, 0);
    lab.machine.set_entry(lab.l1, 0, entry & !pte::WRITABLE);
    assert_eq!(audit(&lab, None), [lab.page]);
    lab.machine.set_entry(lab.l1, 0, lab.l2.address() | RW);
    let mut both = [lab.l1, lab.l2, lab.page];
    both.sort();
    let mut found = audit(&lab, None);
    found.sort();
    assert_eq!(found, both);
    lab.machine.set_entry(lab.l1, 0, entry);
    assert_eq!(audit(&lab, None), []);
    assert!(
        lab.mm
            .verify([].iter(), [].into_iter(), &mut [], &mut |_| ())
            .is_err()
    );
}
