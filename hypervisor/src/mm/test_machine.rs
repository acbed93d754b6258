//! A machine for the tests of this room: frames with contents, processors that cache translations, and
//! a say in when work is interrupted.

use super::block::{CleanBlock, Scrub};
use super::buddy::{Buddy, Order, Request};
use super::frame::{Frame, FrameTable};
use super::held::HeldFrame;
use super::ownership::{DomainFrames, FramesLock};
use super::platform::{
    Device, FrameSink, IoRights, MachineToPhys, PageContents, PageTables, Preempt, Privilege, Slot,
};
use super::pte;
use super::test_guest::SLOTS;
use super::test_support::Rng;
use super::tlb::{FlushStamp, Suspects, Tlb};
use super::typ::{Type, TypeWord};
use guest_abi::ids::{DomId, Mfn};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::vec::Vec;

/// Frames of the machine that have an entry in the table.
pub(crate) const FRAMES: u64 = 96;
/// Memory is below this; what is between it and [`FRAMES`] is device memory, but for the first two,
/// which are nothing.
pub(crate) const RAM_END: u64 = 80;
/// Device memory that may only be read.
pub(crate) const READ_ONLY_DEVICE: Mfn = Mfn(RAM_END + 4);
/// Device memory that nobody may touch.
pub(crate) const FORBIDDEN_DEVICE: Mfn = Mfn(RAM_END + 5);

/// A domain with rights to devices and other domains.
pub(crate) const DOM0: DomId = DomId(0);
/// An ordinary one.
pub(crate) const DOM1: DomId = DomId(1);

/// What a processor remembers of page tables that it has walked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Processor {
    last_flush: u32,
    ran: BTreeSet<DomId>,
    /// Frame, whether for writing, and who owned it when the translation was made.
    translations: BTreeSet<(Mfn, bool, DomId)>,
    /// Tables that a walk may start from.
    tables: BTreeSet<(Mfn, Type)>,
}

impl Processor {
    /// Whether a guest has run here since the last flush.
    pub(crate) fn has_run(&self) -> bool {
        !self.ran.is_empty()
    }
}

/// The machine.
pub(crate) struct TestMachine<'t> {
    pub(crate) table: FrameTable<'t>,
    contents: Vec<AtomicU64>,
    clock: AtomicU32,
    pub(crate) processors: Mutex<Vec<Processor>>,
    pub(crate) buddy: Mutex<Buddy>,
    pub(crate) domains: [Mutex<DomainFrames>; 2],
    /// Questions until the next yes; then it starts from `yield_every` again. 0: always no.
    questions: AtomicU64,
    yield_every: AtomicU64,
    /// A root of a domain by which a processor walks whenever the clock is read.
    eager: Mutex<Option<(usize, DomId, Mfn)>>,
    /// What a processor sets in the next entry that is exchanged if it is as expected, just before.
    touch: AtomicU64,
    /// How many units of work asked.
    pub(crate) asked: AtomicU64,
    pub(crate) flushes: AtomicU64,
}

pub(crate) fn frame_entries() -> Vec<Frame> {
    (0..FRAMES).map(|_| Frame::new()).collect()
}

/// What a root's hypervisor slots are filled with.
pub(crate) fn hypervisor_entry(slot: u16) -> u64 {
    u64::from(slot) << 20 | pte::PRESENT | pte::WRITABLE
}

impl<'t> TestMachine<'t> {
    pub(crate) fn new(entries: &'t [Frame]) -> Self {
        let table = FrameTable::new(entries);
        let mut buddy = Buddy::new();
        buddy.add_range(table, Mfn(1), Mfn(RAM_END));
        Self {
            table,
            contents: (0..FRAMES * 512).map(|_| AtomicU64::new(0)).collect(),
            clock: AtomicU32::new(1),
            processors: Mutex::new(vec![Processor::default(); 3]),
            buddy: Mutex::new(buddy),
            domains: [
                Mutex::new(DomainFrames::new()),
                Mutex::new(DomainFrames::new()),
            ],
            questions: AtomicU64::new(0),
            yield_every: AtomicU64::new(0),
            eager: Mutex::new(None),
            touch: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            flushes: AtomicU64::new(0),
        }
    }

    /// Says yes to every `nth` question, starting with this one from now.
    pub(crate) fn yield_every(&self, nth: u64) {
        self.yield_every.store(nth, Ordering::Relaxed);
        self.questions.store(nth, Ordering::Relaxed);
    }

    /// Says yes to question number `nth` from now, and never again.
    pub(crate) fn yield_once(&self, nth: u64) {
        self.yield_every.store(0, Ordering::Relaxed);
        self.questions.store(nth, Ordering::Relaxed);
    }

    /// Whenever the clock is read from now on, `processor` flushes and then remembers all that it finds below `root`, a root of
    /// `domain` in force: a use whose end is stamped before it has ended is one that it remembers, and that no flush is made
    /// for.
    pub(crate) fn walk_at_each_stamp(&self, processor: usize, domain: DomId, root: Mfn) {
        *self.eager.lock().unwrap() = Some((processor, domain, root));
    }

    /// A flush, and a walk to everything below `root`.
    fn flush_and_walk(&self, processor: usize, domain: DomId, root: Mfn) {
        let mut fresh = Processor {
            last_flush: self.clock.fetch_add(1, Ordering::SeqCst) + 1,
            ran: [domain].into(),
            ..Processor::default()
        };
        let mut tables = vec![(root, Type::L4)];
        while let Some((table, typ)) = tables.pop() {
            let Some(level) = typ.level() else { continue };
            fresh.tables.insert((table, typ));
            for slot in SLOTS {
                let place = Slot::new(slot.into()).unwrap();
                let entry = self.entry(table, slot);
                if !pte::is_present(entry) || pte::is_hypervisor_slot(level, place) {
                    continue;
                }
                let target = pte::mfn(entry);
                match level.below() {
                    Some(below) => tables.push((target, below.typ())),
                    None => {
                        let owner = self.table.get(target).and_then(|f| f.owner().domain());
                        let translation =
                            owner.map(|owner| (target, pte::is_writable(entry), owner));
                        fresh.translations.extend(translation);
                    }
                }
            }
        }
        self.processors.lock().unwrap()[processor] = fresh;
    }

    /// A processor sets these bits (accessed, dirty) in the next entry that somebody exchanges if it is as expected: after
    /// that one has looked, and before the exchange.
    pub(crate) fn touch_next(&self, bits: u64) {
        self.touch.store(bits, Ordering::Relaxed);
    }

    pub(crate) fn allocate(&self, owner: DomId) -> Option<Mfn> {
        let block = self.allocate_block()?;
        let mut frames = self.domains[usize::from(owner.0)].lock().unwrap();
        Some(frames.adopt(self.table, block, owner))
    }

    pub(crate) fn allocate_block(&self) -> Option<CleanBlock> {
        let request = Request::anywhere(Order::FRAME);
        let block = self.buddy.lock().unwrap().allocate(self.table, request)?;
        Some(block.clean(self.table, self, self))
    }

    fn cell(&self, table: Mfn, slot: Slot) -> &AtomicU64 {
        &self.contents[(table.0 * 512) as usize + usize::from(slot.number())]
    }

    pub(crate) fn entry(&self, table: Mfn, slot: u16) -> u64 {
        self.read(table, Slot::new(slot.into()).unwrap())
    }

    pub(crate) fn set_entry(&self, table: Mfn, slot: u16, value: u64) {
        self.write(table, Slot::new(slot.into()).unwrap(), value);
    }

    /// A processor that runs `domain` uses some address, beginning with `root` (a table of `level` that is
    /// in force, or that it remembers). Returns the entries that got accessed or dirty bits.
    pub(crate) fn walk(
        &self,
        processor: usize,
        domain: DomId,
        (root, level): (Mfn, Type),
        rng: &mut Rng,
        is_write: bool,
    ) -> Vec<(Mfn, u16, u64)> {
        let mut processors = self.processors.lock().unwrap();
        let processor = &mut processors[processor];
        processor.ran.insert(domain);
        let mut touched = Vec::new();
        let (mut table, mut level) = (root, level);
        while let Some(current) = level.level() {
            processor.tables.insert((table, level));
            let is_usable = |slot: &u16| {
                let entry = self.entry(table, *slot);
                let is_ours = pte::is_hypervisor_slot(current, Slot::new((*slot).into()).unwrap());
                pte::is_present(entry) && !is_ours && (!is_write || pte::is_writable(entry))
            };
            let usable: Vec<u16> = SLOTS.into_iter().filter(is_usable).collect();
            if usable.is_empty() {
                break;
            }
            let slot = usable[rng.below(usable.len() as u64) as usize];
            let entry = self.entry(table, slot);
            let dirty = if is_write && current.below().is_none() {
                pte::DIRTY
            } else {
                0
            };
            self.set_entry(table, slot, entry | pte::ACCESSED | dirty);
            touched.push((table, slot, entry | pte::ACCESSED | dirty));
            let target = pte::mfn(entry);
            match current.below() {
                Some(below) => (table, level) = (target, below.typ()),
                None => {
                    if let Some(owner) = self.table.get(target).and_then(|f| f.owner().domain()) {
                        processor
                            .translations
                            .insert((target, pte::is_writable(entry), owner));
                    }
                    break;
                }
            }
        }
        touched
    }

    /// A table that `processor` may start a walk from without looking at any root.
    pub(crate) fn remembered_table(&self, processor: usize, nth: u64) -> Option<(Mfn, Type)> {
        let processors = self.processors.lock().unwrap();
        let tables = &processors[processor].tables;
        tables
            .iter()
            .nth(nth as usize % tables.len().max(1))
            .copied()
    }

    /// No processor can do through its caches what the types forbid.
    pub(crate) fn check_caches(&self) {
        for (number, processor) in self.processors.lock().unwrap().iter().enumerate() {
            for &(mfn, is_writable, owner) in &processor.translations {
                let Some(frame) = self.table.get(mfn) else {
                    continue;
                };
                let word = TypeWord::load(frame);
                if frame.reference_count() == 0 {
                    continue; // Free: flushed before it is used again.
                }
                assert!(
                    frame.owner().is(owner),
                    "CPU {number} reaches {mfn}, which was {owner}'s"
                );
                let is_typed = word.count() != 0 && word.typ() != Type::Writable;
                assert!(
                    !is_typed || !is_writable,
                    "CPU {number} can write to {mfn}: {word:?}"
                );
            }
            for &(mfn, level) in &processor.tables {
                let Some(frame) = self.table.get(mfn) else {
                    continue;
                };
                let word = TypeWord::load(frame);
                let is_other = frame.reference_count() != 0 && word.count() != 0;
                assert!(
                    !is_other || word.typ() == level,
                    "CPU {number} walks {mfn} as {level:?}: {word:?}"
                );
            }
        }
    }
}

impl PageTables for TestMachine<'_> {
    fn read(&self, table: Mfn, slot: Slot) -> u64 {
        self.cell(table, slot).load(Ordering::Relaxed)
    }

    fn write(&self, table: Mfn, slot: Slot, value: u64) {
        self.cell(table, slot).store(value, Ordering::Relaxed);
    }

    fn compare_exchange(&self, table: Mfn, slot: Slot, old: u64, new: u64) -> Result<(), u64> {
        let cell = self.cell(table, slot);
        if pte::is_present(cell.load(Ordering::Relaxed)) {
            cell.fetch_or(self.touch.swap(0, Ordering::Relaxed), Ordering::Relaxed);
        }
        cell.compare_exchange(old, new, Ordering::Relaxed, Ordering::Relaxed)
            .map(|_| ())
    }

    fn install_hypervisor_slots(&self, root: Mfn) {
        for slot in 256..272 {
            self.set_entry(root, slot, hypervisor_entry(slot));
        }
    }
}

impl Scrub for TestMachine<'_> {
    fn scrub(&self, mfn: Mfn) {
        for slot in 0..512 {
            self.set_entry(mfn, slot, 0);
        }
    }
}

impl PageContents for TestMachine<'_> {
    fn copy(&self, to: Mfn, from: Mfn) {
        for slot in 0..512 {
            self.set_entry(to, slot, self.entry(from, slot));
        }
    }
}

impl Tlb for TestMachine<'_> {
    fn stamp(&self) -> FlushStamp {
        let stamp = FlushStamp(self.clock.load(Ordering::SeqCst));
        let eager = *self.eager.lock().unwrap();
        if let Some((processor, domain, root)) = eager {
            self.flush_and_walk(processor, domain, root);
        }
        stamp
    }

    fn flush_since(&self, suspects: Suspects, stamp: FlushStamp) {
        self.flushes.fetch_add(1, Ordering::Relaxed);
        for processor in self.processors.lock().unwrap().iter_mut() {
            let is_suspect = match suspects {
                Suspects::Everyone => true,
                Suspects::Domain(domain) => processor.ran.contains(&domain),
            };
            if is_suspect && !FlushStamp(processor.last_flush).is_after(stamp) {
                *processor = Processor {
                    last_flush: self.clock.fetch_add(1, Ordering::SeqCst) + 1,
                    ..Processor::default()
                };
            }
        }
    }
}

impl IoRights for TestMachine<'_> {
    fn device(&self, domain: DomId, mfn: Mfn) -> Device {
        match mfn.0 {
            number if !(RAM_END + 2..FRAMES + 4).contains(&number) => Device::None,
            _ if domain != DOM0 || mfn == FORBIDDEN_DEVICE => Device::Forbidden,
            _ if mfn == READ_ONLY_DEVICE => Device::ReadOnly,
            _ => Device::Allowed,
        }
    }
}

impl Preempt for TestMachine<'_> {
    fn should_yield(&self) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match self.questions.load(Ordering::Relaxed) {
            0 => false,
            1 => {
                self.questions
                    .store(self.yield_every.load(Ordering::Relaxed), Ordering::Relaxed);
                true
            }
            left => {
                self.questions.store(left - 1, Ordering::Relaxed);
                false
            }
        }
    }
}

impl FrameSink for TestMachine<'_> {
    fn release(&self, frame: HeldFrame) {
        if let Some(owner) = frame.owner() {
            self.domains[usize::from(owner.0)]
                .lock()
                .unwrap()
                .forget(self.table, &frame);
        }
        let (mfn, order) = frame.into_mfn();
        self.buddy
            .lock()
            .unwrap()
            .free(self.table, mfn, order)
            .unwrap();
    }
}

impl MachineToPhys for TestMachine<'_> {
    fn set(&self, _: Mfn, _: u64) {}
}

impl Privilege for TestMachine<'_> {
    fn may_map_foreign(&self, subject: DomId, _: DomId) -> bool {
        subject == DOM0
    }
}

impl FramesLock for Mutex<DomainFrames> {
    fn with_frames<R>(&self, action: impl FnOnce(&mut DomainFrames) -> R) -> R {
        action(&mut self.lock().unwrap())
    }
}
