//! Hypercalls of two domains on their page tables, read from bytes: the fuzzer's way into this room.
//!
//! The guests' memory is that of the test machine, where tables are what the guests have written into frames
//! that they may write to: at any moment, between two halves of an interrupted call too. After each call no
//! processor may reach through its caches what the types forbid; all books are audited every few calls and at the end
//! of both domains, which leaves nothing behind: every frame is free again, and of no use to processors that reached it.

use super::descriptor::{self, DescriptorPage};
use super::emulate::EntryPart;
use super::lock::PtDomain;
use super::mmu_update::{Parties, Request};
use super::pin::Root;
use super::platform::{PageTables, Slot};
use super::pte::{self, EntryPolicy};
use super::reference::{FrameRef, Mm, WritableRef};
use super::test_guest::{SLOTS, repeat};
use super::test_machine::{DOM0, DOM1, FRAMES, RAM_END, TestMachine, frame_entries};
use super::test_support::Rng;
use super::typ::{Level, Type, TypeWord};
use super::update::{AccessedDirty, Owed};
use super::verify::{Outside, Tally};
use crate::call_bytes;
use guest_abi::ids::{DomId, Mfn, Vaddr};
use std::vec::Vec;

/// Frames that each domain has at the start.
const FRAMES_EACH: usize = 30;
/// How many frames of the domain that makes most calls, and of the other, most calls are about.
const NEAR: [(DomId, usize); 2] = [(DOM1, 8), (DOM0, 4)];
/// Calls of one run at the most: what more bytes would say takes time and finds little.
const MAX_CALLS: usize = 400;
/// Calls between two audits, which take as long as some dozens of calls.
const CALLS_BETWEEN_AUDITS: usize = 16;

/// What a run holds outside of the tables.
enum Held {
    Root(DomId, Root),
    Page(FrameRef),
    Writable(WritableRef),
    Descriptors(DomId, DescriptorPage),
}

/// Frames that most calls are about: so few that they meet.
pub(super) struct Near(pub(super) Vec<Mfn>);

pub(super) type Bytes<'b> = call_bytes::Bytes<'b, Near>;

impl Bytes<'_> {
    pub(super) fn frame(&mut self) -> Mfn {
        let byte = self.byte();
        let near = self.room.0.get(usize::from(byte & 15));
        match near.filter(|_| byte < 240) {
            Some(&mfn) => mfn,
            None => Mfn(u64::from(byte ^ self.byte()) % (FRAMES + 8)),
        }
    }

    pub(super) fn slot(&mut self) -> u16 {
        SLOTS[usize::from(self.byte()) % SLOTS.len()]
    }

    pub(super) fn level(&mut self) -> Level {
        Level::ALL[usize::from(self.byte() % 4)]
    }

    /// An entry: flags, and a frame.
    pub(super) fn entry(&mut self) -> u64 {
        let flags = u64::from(self.word());
        let high = (flags & 1 << 12) << 40 | (flags & 1 << 13) << 50 | (flags & 1 << 14) << 44;
        self.frame().address() | flags & 0xfff | high
    }

    /// A segment descriptor: any access byte, any selector.
    fn descriptor(&mut self) -> u64 {
        u64::from(self.byte()) << 40 | u64::from(self.word()) << 16
    }

    pub(super) fn address(&mut self) -> Vaddr {
        let slots = [self.slot(), self.slot(), self.slot(), self.slot()];
        let bits = slots
            .iter()
            .fold(0, |bits, &slot| bits << 9 | u64::from(slot));
        Vaddr((((bits << 12) as i64) << 16 >> 16) as u64)
    }

    pub(super) fn domain(&mut self) -> DomId {
        match self.byte() % 8 {
            0..4 => DOM1,
            4..6 => DOM0,
            6 => DomId::IO,
            _ => DomId(7),
        }
    }
}

/// The two domains, and what they hold.
pub(super) struct Run<'t> {
    pub(super) machine: &'t TestMachine<'t>,
    pub(super) mm: Mm<'t, TestMachine<'t>>,
    pub(super) domains: [PtDomain; 2],
    held: Vec<Held>,
    rng: Rng,
}

/// Makes the calls that `bytes` say.
///
/// # Panics
/// A rule is broken.
pub fn run(bytes: &[u8]) {
    let entries = frame_entries();
    let machine = TestMachine::new(&entries);
    let mut run = Run::new(&machine);
    let near = run.fill(FRAMES_EACH);
    run.put_in_force(&near);
    let mut bytes = Bytes::new(bytes, Near(near));
    for nth in 0..MAX_CALLS {
        if bytes.is_empty() {
            break;
        }
        run.call(&mut bytes);
        machine.check_caches();
        if nth % CALLS_BETWEEN_AUDITS == 0 {
            run.audit();
        }
    }
    run.audit();
    run.end();
    run.audit();
    assert_eq!(free_frames(&machine), RAM_END - 1, "frames are lost");
    // Whoever gets them next has them alone.
    while machine.allocate(DOM1).is_some() {}
    machine.check_caches();
}

/// Frames that are nobody's.
pub(super) fn free_frames(machine: &TestMachine<'_>) -> u64 {
    machine.buddy.lock().expect("no panic").free_frames()
}

impl<'t> Run<'t> {
    pub(super) fn new(machine: &'t TestMachine<'t>) -> Self {
        Self {
            mm: Mm::new(machine.table, machine),
            machine,
            domains: [
                PtDomain::new(DOM0, EntryPolicy::WITH_DEVICES),
                PtDomain::new(DOM1, EntryPolicy::ORDINARY),
            ],
            held: Vec::new(),
            rng: Rng::new(0),
        }
    }

    /// Gives each domain so many frames. Returns some of each's.
    pub(super) fn fill(&self, frames_each: usize) -> Vec<Mfn> {
        let mut near = Vec::new();
        for (domain, count) in NEAR {
            let allocate = || self.machine.allocate(domain).expect("enough for both");
            let frames: Vec<Mfn> = (0..frames_each).map(|_| allocate()).collect();
            near.extend(frames.into_iter().take(count));
        }
        near
    }

    /// Puts a table of each level in force for each domain, of which one has two pages below, and one of them may be
    /// written to: most that can go wrong does so there, and it takes many right bytes to come so far.
    pub(super) fn put_in_force(&mut self, near: &[Mfn]) {
        const READ_ONLY: u64 = pte::PRESENT | pte::USER | pte::ACCESSED;
        const WRITABLE: u64 = READ_ONLY | pte::WRITABLE;
        let [first, second, ..] = SLOTS;
        let (theirs, ours) = near.split_at(NEAR[0].1);
        for (tables, domain) in [(theirs, DOM1), (ours, DOM0)] {
            for pair in tables[..4].windows(2) {
                let entry = pair[1].address() | WRITABLE;
                self.machine.set_entry(pair[0], first, entry);
            }
            if let Some(&[writable, other]) = tables.get(4..6).and_then(<[Mfn]>::first_chunk) {
                let entries = [
                    (first, writable.address() | WRITABLE),
                    (second, other.address() | READ_ONLY),
                ];
                for (slot, entry) in entries {
                    self.machine.set_entry(tables[3], slot, entry);
                }
            }
            let lock = &mut self.domains[usize::from(domain.0)].locked();
            assert_eq!(self.mm.pin(lock, tables[0], Level::L4), Ok(()));
            let root = self.mm.get_root(lock, tables[0]).expect("in force");
            self.held.push(Held::Root(domain, root));
        }
    }

    /// Makes a call on page tables.
    pub(super) fn call(&mut self, bytes: &mut Bytes<'_>) {
        let caller = if bytes.byte() & 1 == 0 { DOM1 } else { DOM0 };
        let mm = self.mm;
        let which = bytes.byte();
        let lock = &mut self.domains[usize::from(caller.0)].locked();
        // What is refused or preempted has changed nothing that the audit would not find.
        match which % 16 {
            0 | 1 => self.store(caller, bytes),
            2 => {
                let _ = mm.pin(lock, bytes.frame(), bytes.level());
            }
            3 => {
                let _ = mm.unpin(lock, bytes.frame());
            }
            4 if which & 32 != 0 => self.take_descriptors(caller, bytes),
            4 => {
                if let Ok(root) = mm.get_root(lock, bytes.frame()) {
                    self.held.push(Held::Root(caller, root));
                }
            }
            5 | 6 => {
                let owner = bytes.domain();
                let Ok(parties) = Parties::new(self.machine, caller, caller, owner) else {
                    return;
                };
                let requests: Vec<_> = (0..1 + bytes.byte() % 4)
                    .map(|_| {
                        let kind = bytes.byte();
                        let (table, slot) = (bytes.frame(), bytes.slot());
                        let val = match kind & 8 {
                            0 => bytes.entry(),
                            _ => other_flags(self.machine, table, slot, bytes),
                        };
                        let at = u64::from(slot) * 8;
                        Request {
                            ptr: (table.address() + at) | u64::from(kind & 7),
                            val,
                        }
                    })
                    .collect();
                let (mut done, mut owed) = (0, Owed::NOTHING);
                let result = mm.mmu_update(lock, parties, &requests, &mut done, &mut owed);
                assert!(done <= requests.len());
                assert!(result.is_err() || done == requests.len());
            }
            7 | 8 => {
                let (root, address, entry) = (bytes.frame(), bytes.address(), bytes.entry());
                let owner = bytes.domain();
                let may = Parties::new(self.machine, caller, caller, owner).is_ok();
                if let Ok(place) = mm.walk(lock, root, address)
                    && may
                {
                    let (table, slot) = (place.table, place.slot);
                    let entry = match which & 32 {
                        0 => entry,
                        _ => other_flags(self.machine, table, slot.number(), bytes),
                    };
                    let replace = AccessedDirty::Replace;
                    let _ = mm.update_l1(lock, table, slot, entry, replace, owner);
                }
            }
            9 | 10 => {
                let size = 1 << (bytes.byte() % 5);
                let offset = u64::from(bytes.slot()) * 8 + u64::from(bytes.byte() & 7);
                let Some(part) = EntryPart::new(offset, size) else {
                    return;
                };
                let (table, value) = (bytes.frame(), bytes.entry());
                if which & 32 == 0 {
                    let _ = mm.emulate_store(lock, table, part, value);
                } else {
                    let expected = bytes.entry();
                    let _ = mm.emulate_compare_exchange(lock, table, part, expected, value);
                }
            }
            11 => {
                let (mfn, owner) = (bytes.frame(), bytes.domain());
                if which & 32 == 0 {
                    if let Ok(page) = mm.get_writable_frame(mfn, owner, caller) {
                        self.held.push(Held::Writable(page));
                    }
                } else if let Ok(page) = mm.get_frame(mfn, owner) {
                    self.held.push(Held::Page(page));
                }
            }
            12 => self.put_held(usize::from(bytes.byte())),
            13 if which & 64 != 0 => {
                let (mfn, slot) = (bytes.frame(), Slot::of_address(u64::from(bytes.slot()) * 8));
                let _ = mm.update_descriptor(lock, mfn, slot, bytes.descriptor());
            }
            13 => {
                let (to, from) = (bytes.frame(), bytes.frame());
                if which & 32 == 0 {
                    let _ = mm.clear_page(to, caller, caller);
                } else {
                    let _ = mm.copy_page(to, from, caller, caller);
                }
            }
            14 => self.machine.yield_every(u64::from(bytes.byte() % 8)),
            _ => {
                let (processor, nth) = (bytes.byte() % 3, bytes.byte());
                self.processor_walks(processor.into(), nth.into(), which & 32 != 0);
            }
        }
    }

    /// The guest writes to memory that it has mapped for writing.
    fn store(&self, caller: DomId, bytes: &mut Bytes<'_>) {
        let (mfn, slot, entry) = (bytes.frame(), bytes.slot(), bytes.entry());
        if let Ok(page) = self.mm.get_writable_frame(mfn, caller, caller) {
            self.machine.set_entry(mfn, slot, entry);
            self.mm.put_writable_frame(page);
        }
    }

    /// Takes some frames as the pages of a GDT: all of them, or none.
    fn take_descriptors(&mut self, caller: DomId, bytes: &mut Bytes<'_>) {
        let frames: Vec<Mfn> = (0..1 + bytes.byte() % 4).map(|_| bytes.frame()).collect();
        let lock = &mut self.domains[usize::from(caller.0)].locked();
        if self.mm.get_descriptor_list(lock, &frames).is_ok() {
            let pages = frames.into_iter().map(DescriptorPage::recall);
            self.held
                .extend(pages.map(|page| Held::Descriptors(caller, page)));
        }
    }

    fn put_held(&mut self, nth: usize) {
        if self.held.is_empty() {
            return;
        }
        match self.held.swap_remove(nth % self.held.len()) {
            Held::Root(domain, root) => {
                let lock = &mut self.domains[usize::from(domain.0)].locked();
                // As whoever gives a root up does: what is pending comes first.
                while self.mm.finish_pending(lock).is_err() {}
                self.mm.put_root(lock, root);
            }
            Held::Descriptors(domain, page) => {
                let lock = &mut self.domains[usize::from(domain.0)].locked();
                self.mm.put_descriptors(lock, page);
            }
            Held::Page(page) => self.mm.put_frame(page),
            Held::Writable(page) => self.mm.put_writable_frame(page),
        }
    }

    /// A processor uses some address under a root that is loaded.
    fn processor_walks(&mut self, processor: usize, nth: usize, is_write: bool) {
        let roots = self.held.iter().filter_map(|held| match held {
            Held::Root(domain, root) => Some((*domain, root.mfn())),
            _ => None,
        });
        let roots: Vec<_> = roots.collect();
        let Some(&(domain, root)) = roots.get(nth % roots.len().max(1)) else {
            return;
        };
        let top = (root, Type::L4);
        self.machine
            .walk(processor, domain, top, &mut self.rng, is_write);
    }

    /// The end of both domains.
    pub(super) fn end(&mut self) {
        while !self.held.is_empty() {
            self.put_held(0);
        }
        for (domain, frames) in self.domains.iter_mut().zip(&self.machine.domains) {
            let mm = self.mm;
            let relinquished = repeat(|| mm.relinquish(&mut domain.locked(), frames));
            assert_eq!(relinquished, Ok(()));
        }
    }

    /// Every count is what walking all tables finds.
    pub(super) fn audit(&self) {
        let outside = self.held.iter().map(|held| {
            let (mfn, typed) = match held {
                Held::Root(_, root) => (root.mfn(), 1),
                Held::Writable(page) => (page.mfn(), 1),
                Held::Descriptors(_, page) => (page.mfn(), 1),
                Held::Page(page) => (page.mfn(), 0),
            };
            let tally = Tally { general: 1, typed };
            Outside { mfn, tally }
        });
        let mut scratch = vec![Tally::default(); FRAMES as usize];
        let faults = self
            .mm
            .verify(self.domains.iter(), outside, &mut scratch, &mut |finding| {
                panic!("{finding}")
            });
        assert_eq!(faults, Ok(0));
        self.audit_descriptors();
    }

    /// Pages that processors take descriptors from have none that raises privilege.
    fn audit_descriptors(&self) {
        for mfn in (0..FRAMES).map(Mfn) {
            let word = self.machine.table.get(mfn).map(TypeWord::load);
            if !word.is_some_and(|word| word.typ() == Type::SegDesc && word.count() != 0) {
                continue;
            }
            for slot in Slot::range(0, Slot::COUNT.into()) {
                let descriptor = self.machine.read(mfn, slot);
                assert_eq!(descriptor::checked(descriptor), Ok(descriptor), "{mfn}");
            }
        }
    }
}

/// The entry that is there, with one bit changed.
fn other_flags(machine: &TestMachine<'_>, table: Mfn, slot: u16, bytes: &mut Bytes<'_>) -> u64 {
    let bit = 1 << (bytes.byte() % 8);
    match table.0 {
        0..FRAMES => machine.entry(table, slot) ^ bit,
        _ => bit,
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::run;
    use crate::mm::test_support::{Rng, cases};
    use std::vec::Vec;

    #[test]
    fn calls_read_from_random_bytes_break_no_rule() {
        for seed in 0..cases(300) {
            let mut rng = Rng::new(seed);
            let bytes: Vec<u8> = (0..1500).map(|_| rng.next() as u8).collect();
            run(&bytes);
        }
    }
}
