//! Everything that may happen at the same time as a change of type, in every order that the processors'
//! memory model allows: `RUSTFLAGS="--cfg loom" cargo test --release -p hypervisor --lib loom`.

use super::error::{MmError, Stop};
use super::frame::{Frame, FrameTable, Owner, refs};
use super::held::HeldFrame;
use super::lock::PtDomain;
use super::platform::{
    Device, FrameSink, IoRights, MachineToPhys, PageContents, PageTables, Preempt, Privilege, Slot,
};
use super::pte::{self, EntryPolicy};
use super::reference::Mm;
use super::tlb::{FlushStamp, Suspects, Tlb};
use super::typ::{Level, Type, TypeWord};
use super::update::AccessedDirty;
use crate::sync::atomic::{AtomicU32, Ordering};
use guest_abi::ids::{DomId, Mfn};
use loom::sync::Arc;
use loom::thread;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::vec::Vec;

const DOMAIN: DomId = DomId(1);
const STRANGER: DomId = DomId(2);
const FRAME: Mfn = Mfn(1);
const TABLE: Mfn = Mfn(2);

/// Two processors with one thing to remember each: that they can still use [`FRAME`] as what it was.
struct Machine {
    frames: Vec<Frame>,
    contents: Vec<AtomicU64>,
    clock: AtomicU32,
    last_flush: [AtomicU32; 2],
    remembers: [AtomicU32; 2],
    released: AtomicU32,
    is_impatient: bool,
}

impl Machine {
    fn new() -> Self {
        let frames: Vec<Frame> = (0..3).map(|_| Frame::new()).collect();
        for frame in &frames[1..] {
            frame
                .owner
                .store(Owner::of(DOMAIN).raw(), Ordering::Relaxed);
            frame.refs.store(refs::ALLOCATED | 1, Ordering::Relaxed);
        }
        Self {
            frames,
            contents: (0..3 * 512).map(|_| AtomicU64::new(0)).collect(),
            clock: AtomicU32::new(1),
            last_flush: [AtomicU32::new(0), AtomicU32::new(0)],
            remembers: [AtomicU32::new(0), AtomicU32::new(0)],
            released: AtomicU32::new(0),
            is_impatient: false,
        }
    }

    fn mm(&self) -> Mm<'_, Self> {
        Mm::new(FrameTable::new(&self.frames), self)
    }

    fn set(&self, table: Mfn, slot: u64, entry: u64) {
        self.write(table, Slot::new(slot).unwrap(), entry);
    }

    fn word(&self, mfn: Mfn) -> TypeWord {
        TypeWord::load(&self.frames[mfn.0 as usize])
    }

    fn remember(&self, processor: usize) {
        self.remembers[processor].store(1, Ordering::SeqCst);
    }

    fn remembers(&self, processor: usize) -> bool {
        self.remembers[processor].load(Ordering::SeqCst) != 0
    }

    fn flush(&self, processor: usize) {
        let now = self.clock.fetch_add(1, Ordering::SeqCst) + 1;
        self.remembers[processor].store(0, Ordering::SeqCst);
        self.last_flush[processor].store(now, Ordering::SeqCst);
    }
}

impl Tlb for Machine {
    fn stamp(&self) -> FlushStamp {
        FlushStamp(self.clock.load(Ordering::SeqCst))
    }

    fn flush_since(&self, suspects: Suspects, stamp: FlushStamp) {
        for processor in 0..2 {
            // Processor 0 runs the domain, processor 1 the stranger.
            let is_suspect = processor == 0 || suspects == Suspects::Everyone;
            let last = FlushStamp(self.last_flush[processor].load(Ordering::SeqCst));
            if is_suspect && !last.is_after(stamp) {
                self.flush(processor);
            }
        }
    }
}

impl PageTables for Machine {
    fn read(&self, table: Mfn, slot: Slot) -> u64 {
        self.contents[table.0 as usize * 512 + usize::from(slot.number())].load(Relaxed)
    }

    fn write(&self, table: Mfn, slot: Slot, value: u64) {
        self.contents[table.0 as usize * 512 + usize::from(slot.number())].store(value, Relaxed);
    }

    fn compare_exchange(&self, table: Mfn, slot: Slot, old: u64, new: u64) -> Result<(), u64> {
        assert_eq!(self.read(table, slot), old);
        self.write(table, slot, new);
        Ok(())
    }

    fn install_hypervisor_slots(&self, _: Mfn) {}
}

impl super::block::Scrub for Machine {
    fn scrub(&self, _: Mfn) {}
}

impl PageContents for Machine {
    fn copy(&self, _: Mfn, _: Mfn) {}
}

impl IoRights for Machine {
    fn device(&self, _: DomId, _: Mfn) -> Device {
        Device::None
    }
}

impl Preempt for Machine {
    fn should_yield(&self) -> bool {
        self.is_impatient
    }
}

impl FrameSink for Machine {
    fn release(&self, frame: HeldFrame) {
        assert_eq!(frame.owner(), Some(DOMAIN));
        let _ = frame.into_mfn();
        self.released.fetch_add(1, Ordering::SeqCst);
    }
}

impl MachineToPhys for Machine {
    fn set(&self, _: Mfn, _: u64) {}
}

impl Privilege for Machine {
    fn may_map_foreign(&self, _: DomId, _: DomId) -> bool {
        true
    }
}

/// All orders with at most this many involuntary switches between the threads of a long model.
const SWITCHES: usize = 3;

fn long_model(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(SWITCHES);
    builder.check(model);
}

fn domain() -> PtDomain {
    PtDomain::new(DOMAIN, EntryPolicy::ORDINARY)
}

/// A type that the frame had before, so that a flush is owed.
fn was(machine: &Machine, typ: Type) {
    let frame = &machine.frames[FRAME.0 as usize];
    let word = TypeWord(typ as u64 | if typ == Type::Writable { 1 << 3 } else { 0 });
    word.stamped(machine.stamp()).store(frame);
}

/// Uses the frame for writing on `processor`, which remembers it afterwards.
fn write_to_frame(machine: &Machine, user: DomId, processor: usize) -> bool {
    let mm = machine.mm();
    let Ok(page) = mm.get_writable_frame(FRAME, DOMAIN, user) else {
        return false;
    };
    let word = machine.word(FRAME);
    assert!(word.typ() == Type::Writable && word.count() != 0 && word.is_valid());
    machine.remember(processor);
    mm.put_writable_frame(page);
    true
}

#[test]
fn loom_a_table_never_comes_into_force_while_a_processor_can_write_to_it() {
    for user in [DOMAIN, STRANGER] {
        for before in [Type::None, Type::Writable, Type::L2] {
            long_model(move || {
                let machine = Arc::new(Machine::new());
                was(&machine, before);
                let writer = thread::spawn({
                    let machine = machine.clone();
                    move || write_to_frame(&machine, user, usize::from(user == STRANGER))
                });
                let mut domain = domain();
                let result = machine.mm().pin(&mut domain.locked(), FRAME, Level::L1);
                if result.is_ok() {
                    // From here to the unpin the writer is refused, and nothing of it is left.
                    assert!(!machine.remembers(0) && !machine.remembers(1));
                    let word = machine.word(FRAME);
                    assert!(word.is_table(Level::L1));
                    machine.mm().unpin(&mut domain.locked(), FRAME).unwrap();
                }
                writer.join().unwrap();
                let word = machine.word(FRAME);
                assert_eq!(
                    (word.count(), word.is_pinned(), word.is_partial()),
                    (0, false, false)
                );
                assert_eq!(machine.frames[1].reference_count(), 1);
            });
        }
    }
}

#[test]
fn loom_the_last_of_two_writers_leaves_the_later_stamp() {
    long_model(|| {
        let machine = Arc::new(Machine::new());
        let threads = [DOMAIN, STRANGER].map(|user| {
            let machine = machine.clone();
            thread::spawn(move || {
                assert!(write_to_frame(
                    &machine,
                    user,
                    usize::from(user == STRANGER)
                ));
                if user == DOMAIN {
                    // The processor flushes for some other reason.
                    machine.flush(0);
                }
            })
        });
        for thread in threads {
            thread.join().unwrap();
        }
        let mut domain = domain();
        machine
            .mm()
            .pin(&mut domain.locked(), FRAME, Level::L1)
            .unwrap();
        assert!(!machine.remembers(0) && !machine.remembers(1));
    });
}

#[test]
fn loom_a_flush_between_two_uses_does_not_hide_the_second() {
    loom::model(|| {
        let machine = Arc::new(Machine::new());
        let mm = machine.mm();
        // Two uses at once by the same processor, which flushes between their ends.
        let first = mm.get_writable_frame(FRAME, DOMAIN, DOMAIN).unwrap();
        let second = thread::spawn({
            let machine = machine.clone();
            move || {
                machine.flush(0);
                assert!(write_to_frame(&machine, DOMAIN, 0));
            }
        });
        mm.put_writable_frame(first);
        second.join().unwrap();
        let mut domain = domain();
        mm.pin(&mut domain.locked(), FRAME, Level::L1).unwrap();
        assert!(!machine.remembers(0));
    });
}

#[test]
fn loom_no_writer_goes_on_before_the_flush_of_a_former_table_is_made() {
    long_model(|| {
        let machine = Arc::new(Machine::new());
        was(&machine, Type::L1);
        machine.remember(0);
        let threads = [DOMAIN, STRANGER].map(|user| {
            let machine = machine.clone();
            thread::spawn(move || {
                let page = machine
                    .mm()
                    .get_writable_frame(FRAME, DOMAIN, user)
                    .unwrap();
                assert!(!machine.remembers(0), "it walks what {user} writes");
                machine.mm().put_writable_frame(page);
            })
        });
        for thread in threads {
            thread.join().unwrap();
        }
        let word = machine.word(FRAME);
        assert!(word.is_valid() && word.count() == 0 && word.typ() == Type::Writable);
    });
}

#[test]
fn loom_interrupted_validation_keeps_writers_out() {
    long_model(|| {
        let machine = Machine {
            is_impatient: true,
            ..Machine::new()
        };
        let entry = TABLE.address() | pte::PRESENT;
        machine.set(FRAME, 0, entry);
        machine.set(FRAME, 1, entry);
        let machine = Arc::new(machine);
        let writer = thread::spawn({
            let machine = machine.clone();
            move || {
                let page = machine.mm().get_writable_frame(FRAME, DOMAIN, STRANGER);
                if let Ok(page) = page {
                    // It is a plain frame: none of its entries counts.
                    let word = machine.word(FRAME);
                    assert!(!word.is_partial() && word.typ() == Type::Writable);
                    machine.mm().put_writable_frame(page);
                }
            }
        });
        let mut domain = domain();
        let mut pinned = false;
        for _ in 0..4 {
            match machine.mm().pin(&mut domain.locked(), FRAME, Level::L2) {
                Ok(()) => {
                    pinned = true;
                    break;
                }
                Err(super::error::Stop::Preempted) => {
                    assert!(machine.word(FRAME).is_stopped());
                    assert!((1..=2).contains(&machine.word(TABLE).count()));
                }
                Err(_) => break,
            }
        }
        if pinned {
            assert_eq!(machine.word(TABLE).count(), 2);
            while machine.mm().unpin(&mut domain.locked(), FRAME).is_err() {}
        }
        writer.join().unwrap();
        assert_eq!(machine.word(TABLE).count(), 0);
        assert_eq!(machine.frames[1].reference_count(), 1);
        assert_eq!(machine.frames[2].reference_count(), 1);
    });
}

#[test]
fn loom_a_frame_is_freed_once_and_never_under_a_reference() {
    loom::model(|| {
        let machine = Arc::new(Machine::new());
        let user = thread::spawn({
            let machine = machine.clone();
            move || {
                if let Ok(page) = machine.mm().get_frame(FRAME, DOMAIN) {
                    assert_eq!(machine.released.load(Ordering::SeqCst), 0);
                    machine.mm().put_frame(page);
                }
            }
        });
        let was_free = machine.mm().give_back(FRAME, DOMAIN).is_ok();
        user.join().unwrap();
        assert_eq!(machine.released.load(Ordering::SeqCst), u32::from(was_free));
        if !was_free {
            assert_eq!(
                machine.frames[1].refs.load(Ordering::Relaxed),
                refs::ALLOCATED | 1
            );
        }
    });
}

#[test]
fn loom_of_several_last_references_one_is_the_last() {
    long_model(|| {
        let machine = Arc::new(Machine::new());
        let references = [(); 2].map(|()| machine.mm().get_frame(FRAME, DOMAIN).unwrap());
        // The end of the domain takes the allocation's reference.
        machine.frames[1]
            .refs
            .fetch_and(!refs::ALLOCATED, Ordering::Relaxed);
        let threads = references.map(|reference| {
            let machine = machine.clone();
            thread::spawn(move || machine.mm().put_frame(reference))
        });
        machine
            .mm()
            .put_frame(super::reference::FrameRef::recall(FRAME));
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(machine.released.load(Ordering::SeqCst), 1);
        assert_eq!(machine.frames[1].refs.load(Ordering::Relaxed), refs::HELD);
    });
}

#[test]
fn loom_a_frame_with_a_new_owner_is_not_the_old_ones() {
    loom::model(|| {
        let machine = Arc::new(Machine::new());
        let thief = thread::spawn({
            let machine = machine.clone();
            move || {
                // Whoever asks for the domain's frame gets the domain's or none.
                if let Ok(page) = machine.mm().get_frame(FRAME, DOMAIN) {
                    assert!(machine.frames[1].owner().is(DOMAIN));
                    machine.mm().put_frame(page);
                }
            }
        });
        if let Ok(held) = machine.mm().steal(FRAME, DOMAIN) {
            let _ = held.into_mfn();
            let frame = &machine.frames[1];
            frame
                .owner
                .store(Owner::of(STRANGER).raw(), Ordering::Relaxed);
            frame.refs.store(refs::ALLOCATED | 1, Ordering::Release);
        }
        thief.join().unwrap();
        assert_eq!(machine.released.load(Ordering::SeqCst), 0);
        assert_eq!(
            machine.frames[1].refs.load(Ordering::Relaxed),
            refs::ALLOCATED | 1
        );
    });
}

#[test]
fn loom_nobody_changes_a_table_of_who_has_the_frame_next() {
    loom::model(|| {
        let machine = Arc::new(Machine::new());
        // Given back by the domain, whose it was last, and not yet cleaned.
        let frame = &machine.frames[1];
        frame.refs.store(refs::HELD, Ordering::Relaxed);
        let next = thread::spawn({
            let machine = machine.clone();
            move || {
                let frame = &machine.frames[1];
                // As blocks are cleaned and given.
                frame.owner.store(Owner::NONE.raw(), Ordering::Relaxed);
                frame.typ.store(0, Ordering::Relaxed);
                frame
                    .refs
                    .store(refs::HELD | refs::CLEAN, Ordering::Release);
                frame
                    .owner
                    .store(Owner::of(STRANGER).raw(), Ordering::Relaxed);
                frame.refs.store(refs::ALLOCATED | 1, Ordering::Release);
                let mut stranger = PtDomain::new(STRANGER, EntryPolicy::ORDINARY);
                let lock = &mut stranger.locked();
                machine.mm().pin(lock, FRAME, Level::L1).unwrap();
            }
        });
        let mut domain = domain();
        let lock = &mut domain.locked();
        let slot = Slot::new(7).unwrap();
        let entry = TABLE.address() | pte::PRESENT;
        let keep = AccessedDirty::Replace;
        let result = machine
            .mm()
            .update_any(lock, FRAME, slot, entry, keep, DOMAIN);
        assert_eq!(result, Err(Stop::Failed(MmError::BadFrame)));
        next.join().unwrap();
        assert_eq!(machine.read(FRAME, slot), 0);
        assert!(machine.word(FRAME).is_table(Level::L1));
        assert_eq!(machine.frames[1].reference_count(), 2);
    });
}
