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
use super::typ::{GetWritable, Level, Type, TypeWord};
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

mod entries;
mod frames;

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

/// In every way in which an entry changes: it is gone before the time is read at which what it refers to was last used.
#[test]
fn a_use_has_ended_when_its_end_is_stamped() {
    type End = fn(&mut Lab<'_>);
    fn store(lab: &mut Lab<'_>, value: u64) {
        let part = EntryPart::new(0, 8).unwrap();
        let lock = &mut lab.domains[1].locked();
        lab.mm.emulate_store(lock, lab.l1, part, value).unwrap();
    }
    let of_a_page: [(&str, End); 6] = [
        ("an update", |lab| _ = lab.set(lab.l1, 0, 0).unwrap()),
        ("an update to reading", |lab| {
            _ = lab.set(lab.l1, 0, lab.page.address() | RO).unwrap();
        }),
        ("a store", |lab| store(lab, 0)),
        ("a store to reading", |lab| {
            store(lab, lab.page.address() | RO)
        }),
        ("another page", |lab| {
            let other = lab.machine.allocate(DOM1).unwrap();
            _ = lab.set(lab.l1, 0, other.address() | RW).unwrap();
        }),
        ("a grant in its place", |lab| {
            let other = lab.machine.allocate(DOM1).unwrap();
            let entry = lab.mm.get_frame(other, DOM1).unwrap().remember().address() | RO;
            let at = super::granted::place_at(lab.l1.address());
            lab.mm
                .install_granted(&mut lab.domains[1].locked(), at, entry)
                .unwrap();
        }),
    ];
    for (what, end) in of_a_page {
        lab!(lab);
        lab.pin(lab.l4, Level::L4).unwrap();
        lab.machine.walk_at_each_stamp(0, DOM1, lab.l4);
        end(&mut lab);
        lab.mm
            .pin(&mut lab.domains[1].locked(), lab.page, Level::L1)
            .unwrap_or_else(|stop| panic!("{what}: {stop:?}"));
        lab.machine.check_caches();
    }
    let of_a_table: [(&str, End); 3] = [
        ("L2", |lab| _ = lab.set(lab.l2, 0, 0).unwrap()),
        ("L3", |lab| _ = lab.set(lab.l3, 0, 0).unwrap()),
        ("L4", |lab| _ = lab.set(lab.l4, 0, 0).unwrap()),
    ];
    for (what, end) in of_a_table {
        lab!(lab);
        lab.pin(lab.l4, Level::L4).unwrap();
        lab.machine.walk_at_each_stamp(0, DOM1, lab.l4);
        end(&mut lab);
        for mfn in [lab.l1, lab.page] {
            let page = lab.mm.get_writable_frame(mfn, DOM1, DOM1);
            let page = page.unwrap_or_else(|error| panic!("{what}: {error:?}"));
            lab.machine.check_caches();
            lab.mm.put_writable_frame(page);
        }
    }
}

/// The owner can write to it as well, before the other one, after it, or both.
#[test]
fn a_frame_that_another_one_could_write_to_is_flushed_there_whoever_else_could() {
    for (is_first, is_last) in [(true, false), (false, true), (true, true)] {
        lab!(lab);
        let get = |user| lab.mm.get_writable_frame(lab.l1, DOM1, user).unwrap();
        let first = is_first.then(|| get(DOM1));
        let foreign = get(DOM0);
        let last = is_last.then(|| get(DOM1));
        assert!(lab.word(lab.l1).is_foreign());
        // A processor that has never run the owner holds a translation by the other's tables.
        let rng = &mut super::test_support::Rng::new(1);
        lab.machine.walk(1, DOM0, (lab.l4, Type::None), rng, true);
        lab.mm.put_writable_frame(foreign);
        for own in [first, last].into_iter().flatten() {
            lab.mm.put_writable_frame(own);
        }
        lab.pin(lab.l1, Level::L1).unwrap();
        let processors = lab.machine.processors.lock().unwrap();
        assert!(!processors[1].has_run(), "{is_first} {is_last}");
    }
}

/// For every word that there can be.
#[test]
fn whoever_gets_a_writable_reference_marks_it_as_foreign_if_it_is_and_nobody_takes_the_mark_off() {
    let mut nr_granted = 0;
    for flags in 0..1 << 7 {
        for count in [0, 1, 2, TypeWord::MAX_COUNT] {
            let word = TypeWord(flags | count << 7 | 5 << 32);
            for is_foreign in [false, true] {
                let Ok(GetWritable::Granted(next) | GetWritable::Establish(next)) =
                    word.get_writable(is_foreign)
                else {
                    continue;
                };
                nr_granted += 1;
                assert_eq!(
                    next.is_foreign(),
                    is_foreign || word.is_foreign(),
                    "{word:?}"
                );
                assert_eq!((next.typ(), next.count()), (Type::Writable, count + 1));
            }
        }
    }
    assert!(nr_granted > 100);
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
