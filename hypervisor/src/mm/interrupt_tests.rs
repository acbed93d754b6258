//! Interrupted work: at every point where it can be interrupted the end is the same, and many half done
//! operations at once leave the books exact.

use super::error::Stop;
use super::lock::PtDomain;
use super::mmu_update::{Parties, Request};
use super::model::policy;
use super::ownership::FramesLock;
use super::pin::Root;
use super::pte;
use super::reference::{Mm, WritableRef};
use super::test_guest::{Guest, repeat};
use super::test_machine::{DOM0, DOM1, FRAMES, RAM_END, TestMachine, frame_entries};
use super::test_support::{Rng, cases};
use super::typ::{Level, Type, TypeWord};
use super::verify::{Outside, Tally};
use guest_abi::ids::{DomId, Mfn};
use std::sync::atomic::Ordering;
use std::vec::Vec;

const RW: u64 = pte::PRESENT | pte::WRITABLE | pte::USER | pte::ACCESSED;

fn audit<'d>(
    mm: &Mm<'_, TestMachine<'_>>,
    domains: impl Iterator<Item = &'d PtDomain>,
    outside: impl Iterator<Item = (Mfn, u64)>,
) {
    let mut scratch = vec![Tally::default(); FRAMES as usize];
    let outside = outside.map(|(mfn, typed)| Outside {
        mfn,
        tally: Tally { general: 1, typed },
    });
    mm.verify(domains, outside, &mut scratch, &mut |finding| {
        panic!("{finding}")
    })
    .unwrap();
    mm.platform.check_caches();
}

/// One step of the fixed story that the interruption tests tell.
#[derive(Clone, Copy, Debug)]
enum Step {
    Pin(usize, Level),
    Unpin(usize),
    Load(usize),
    Unload(usize),
    /// Table, slot, target (none: entry cleared).
    Update(usize, u16, Option<usize>),
    /// A frame is made an ordinary one by mapping it for writing in this L1 table.
    MapWritable(usize, usize),
    /// The domain does not want it any more.
    GiveUp(usize),
    Relinquish,
}

/// Frames are named by number: 0, 1 roots; 2, 3 L3; 4 to 6 L2; 7 to 14 L1; then data.
const BAD: usize = 20;
const STORY: [Step; 26] = [
    Step::Pin(0, Level::L4),
    Step::Load(1),
    Step::Unpin(0),
    Step::Update(1, 5, None),
    Step::Update(1, 5, Some(2)),
    Step::Update(2, 0, None),
    Step::Pin(4, Level::L2),
    Step::Update(2, 7, Some(4)),
    Step::Update(4, 0, None),
    Step::Pin(0, Level::L4),
    Step::Update(1, 5, Some(3)),
    Step::Unload(1),
    Step::Pin(7, Level::L1),
    Step::Unpin(0),
    Step::MapWritable(7, 5),
    // The second L3 now has a bad L2 below it, so this fails, after much work.
    Step::Pin(0, Level::L4),
    Step::Load(1),
    Step::Unpin(4),
    Step::Load(0),
    Step::MapWritable(7, 9),
    Step::Pin(3, Level::L3),
    // A root that is pinned, a table below it, a frame with what is left of a validation, and a plain one.
    Step::GiveUp(3),
    Step::GiveUp(6),
    Step::GiveUp(0),
    Step::GiveUp(30),
    Step::Relinquish,
];

/// A domain in the middle of the story.
struct Tale<'t> {
    machine: &'t TestMachine<'t>,
    mm: Mm<'t, TestMachine<'t>>,
    domain: PtDomain,
    frames: Vec<Mfn>,
    roots: Vec<Root>,
}

impl<'t> Tale<'t> {
    fn new(machine: &'t TestMachine<'t>) -> Self {
        let mut frames: Vec<Mfn> = (0..40).map_while(|_| machine.allocate(DOM1)).collect();
        frames.sort_unstable();
        let link = |table: usize, slot: u16, target: usize| {
            machine.set_entry(frames[table], slot, frames[target].address() | RW);
        };
        for (table, slot, target) in [
            (0, 0, 2),
            (0, 511, 3),
            (1, 0, 2),
            (1, 5, 2),
            (2, 0, 4),
            (2, 1, 5),
            (3, 0, 5),
            (3, 300, 6),
        ] {
            link(table, slot, target);
        }
        for (l2, l1) in [
            (4, 7),
            (4, 8),
            (4, 9),
            (5, 9),
            (5, 10),
            (5, 11),
            (6, 12),
            (6, 13),
        ] {
            link(l2, l1 as u16 * 3, l1);
            link(l2, l1 as u16 * 5, l1);
            link(l1, l1 as u16, l1 + 10);
            link(l1, 511, 25);
        }
        let domain = PtDomain::new(DOM1, policy(DOM1));
        Self {
            machine,
            mm: Mm::new(machine.table, machine),
            domain,
            frames,
            roots: Vec::new(),
        }
    }

    /// Calls once.
    fn call(&mut self, step: Step) -> Result<(), Stop> {
        let (mm, frames, lock) = (&self.mm, &self.frames, &mut self.domain.locked());
        let update = |lock: &mut _, table: usize, slot: u16, value: u64| {
            let ptr = frames[table].address() | u64::from(slot) << 3;
            let request = Request { ptr, val: value };
            mm.mmu_update_one(lock, Parties::alone(DOM1), request)
                .map(|_| ())
        };
        match step {
            Step::Pin(frame, level) => mm.pin(lock, frames[frame], level),
            Step::Unpin(frame) => mm.unpin(lock, frames[frame]),
            Step::Load(frame) => mm
                .get_root(lock, frames[frame])
                .map(|root| self.roots.push(root)),
            Step::Unload(frame) => {
                mm.finish_pending(lock)?;
                let index = self
                    .roots
                    .iter()
                    .position(|root| root.mfn() == frames[frame]);
                mm.put_root(lock, self.roots.swap_remove(index.unwrap()));
                Ok(())
            }
            Step::Update(table, slot, target) => {
                let entry = target.map_or(0, |target| frames[target].address() | RW);
                update(lock, table, slot, entry)
            }
            Step::MapWritable(table, frame) => {
                update(lock, table, 100, frames[frame].address() | RW)?;
                update(lock, table, 100, 0)?;
                // Now the guest can spoil it.
                self.machine
                    .set_entry(frames[frame], 50, frames[BAD].address() | RW | pte::PWT);
                Ok(())
            }
            Step::GiveUp(frame) => mm.give_up(lock, frames[frame], &self.machine.domains[1]),
            Step::Relinquish => {
                mm.finish_pending(lock)?;
                for root in self.roots.drain(..) {
                    repeat(|| mm.finish_pending(lock)).unwrap();
                    mm.put_root(lock, root);
                }
                mm.relinquish(lock, &self.machine.domains[1])
            }
        }
    }

    fn audit(&self) {
        let roots = self.roots.iter().map(|root| (root.mfn(), 1));
        audit(&self.mm, core::iter::once(&self.domain), roots);
    }

    /// Calls until it is through; the audit must hold whenever it is interrupted.
    fn tell(&mut self, step: Step) -> Result<(), super::error::MmError> {
        repeat(|| {
            let result = self.call(step);
            self.audit();
            result
        })
    }

    fn finish(&mut self) {
        repeat(|| self.mm.finish_pending(&mut self.domain.locked())).unwrap();
    }

    /// Everything but the stamps.
    fn state(&self) -> Vec<(u64, u32, Vec<u64>)> {
        let word = |mfn| {
            let frame = self.machine.table.get(mfn).unwrap();
            let is_dead = TypeWord::load(frame).count() == 0;
            let word = if is_dead {
                0
            } else {
                TypeWord::load(frame).0 as u32
            };
            (frame.refs.load(Ordering::Relaxed), word)
        };
        let contents = |mfn| (0..512).map(|slot| self.machine.entry(mfn, slot)).collect();
        (0..RAM_END)
            .map(|mfn| (word(Mfn(mfn)).0, word(Mfn(mfn)).1, contents(Mfn(mfn))))
            .collect()
    }
}

#[test]
fn work_interrupted_at_any_point_ends_as_if_it_was_not() {
    for (number, &step) in STORY.iter().enumerate() {
        let run = |interrupt: &dyn Fn(&TestMachine<'_>)| {
            let entries = frame_entries();
            let machine = TestMachine::new(&entries);
            let mut tale = Tale::new(&machine);
            for &earlier in &STORY[..number] {
                let _ = repeat(|| tale.call(earlier));
                tale.finish();
            }
            machine.asked.store(0, Ordering::Relaxed);
            interrupt(&machine);
            let result = tale.tell(step);
            machine.yield_every(0);
            tale.finish();
            tale.audit();
            (result, tale.state(), machine.asked.load(Ordering::Relaxed))
        };
        let (result, state, asked) = run(&|_| ());
        for nth in 1..=asked {
            let (other_result, other_state, _) = run(&|machine| machine.yield_once(nth));
            assert_eq!(
                other_result, result,
                "step {number} {step:?} interrupted at {nth}"
            );
            assert!(
                other_state == state,
                "step {number} {step:?} interrupted at {nth}"
            );
        }
        for every in 1..=asked.min(4) {
            let (other_result, other_state, _) = run(&|machine| machine.yield_every(every));
            assert_eq!(
                other_result, result,
                "step {number} {step:?} interrupted each {every}"
            );
            assert!(
                other_state == state,
                "step {number} {step:?} interrupted each {every}"
            );
        }
    }
}

#[test]
fn roots_given_up_one_after_the_other_are_all_dissolved() {
    let entries = frame_entries();
    let machine = TestMachine::new(&entries);
    let mut tale = Tale::new(&machine);
    for root in [0, 1] {
        tale.tell(Step::Load(root)).unwrap();
    }
    machine.yield_every(1);
    // As two vCPUs do, or one for its two roots: neither asks what the other has left.
    for root in tale.roots.drain(..) {
        tale.mm.put_root(&mut tale.domain.locked(), root);
    }
    tale.audit();
    tale.finish();
    tale.audit();
    for &frame in &tale.frames[..15] {
        let writable = tale.mm.get_writable_frame(frame, DOM1, DOM1);
        tale.mm.put_writable_frame(writable.unwrap());
    }
}

#[test]
fn roots_given_up_while_others_are_pending_wait_for_none_of_them() {
    let entries = frame_entries();
    let machine = TestMachine::new(&entries);
    let mut tale = Tale::new(&machine);
    tale.domain.make_room(1).unwrap();
    for root in [0, 1] {
        tale.tell(Step::Load(root)).unwrap();
    }
    machine.yield_every(1);
    machine.asked.store(0, Ordering::Relaxed);
    for root in tale.roots.drain(..) {
        tale.mm.put_root(&mut tale.domain.locked(), root);
    }
    // Each has come to the first point at which it can stop, and has stopped there. (They share tables: what the
    // first still holds of them, the second drops at once.)
    assert!(machine.asked.load(Ordering::Relaxed) <= 4);
    assert!(!tale.domain.pending.is_empty());
    tale.audit();
    tale.finish();
    tale.audit();
    for &frame in &tale.frames[..15] {
        let writable = tale.mm.get_writable_frame(frame, DOM1, DOM1);
        tale.mm.put_writable_frame(writable.unwrap());
    }
}

/// Takes two roots or none, as a call that initialises a vCPU.
fn take_both(tale: &mut Tale<'_>, roots: [usize; 2]) -> Result<[Root; 2], Stop> {
    let (mm, lock) = (tale.mm, &mut tale.domain.locked());
    let [first, second] = roots.map(|root| tale.frames[root]);
    let first = mm.get_root(lock, first)?;
    match mm.get_root(lock, second) {
        Ok(second) => Ok([first, second]),
        Err(stop) => {
            mm.suspend_root(lock, first);
            Err(stop)
        }
    }
}

#[test]
fn two_new_roots_are_taken_by_a_call_that_is_interrupted_wherever_it_can_be() {
    for roots in [[0, 1], [1, 0], [0, 0]] {
        let entries = frame_entries();
        let machine = TestMachine::new(&entries);
        let mut tale = Tale::new(&machine);
        machine.yield_every(1);
        let mut calls = 0;
        let taken = repeat(|| {
            calls += 1;
            let result = take_both(&mut tale, roots);
            if result.is_err() {
                tale.audit();
            }
            result
        });
        assert!((3..100).contains(&calls), "{calls} calls");
        tale.roots.extend(taken.unwrap());
        machine.yield_every(0);
        tale.audit();
        for root in tale.roots.drain(..) {
            tale.mm.put_root(&mut tale.domain.locked(), root);
        }
        tale.audit();
    }
}

#[test]
fn a_root_that_is_let_go_for_a_while_is_no_table_for_those_who_want_something_else() {
    let entries = frame_entries();
    let machine = TestMachine::new(&entries);
    let mut tale = Tale::new(&machine);
    let (mm, root) = (tale.mm, tale.frames[0]);
    // Held by somebody else too it stays what it is.
    for is_pinned in [true, false] {
        if is_pinned {
            tale.tell(Step::Pin(0, Level::L4)).unwrap();
        }
        let taken = mm.get_root(&mut tale.domain.locked(), root).unwrap();
        mm.suspend_root(&mut tale.domain.locked(), taken);
        let word = TypeWord::load(machine.table.get(root).unwrap());
        assert_eq!(
            (word.is_table(Level::L4), word.is_stopped()),
            (is_pinned, !is_pinned)
        );
        tale.audit();
        if is_pinned {
            tale.tell(Step::Unpin(0)).unwrap();
        }
    }
    tale.tell(Step::Pin(7, Level::L1)).unwrap();
    machine.yield_every(1);
    tale.tell(Step::MapWritable(7, 0)).unwrap();
    for &frame in &tale.frames[..7] {
        let writable = mm.get_writable_frame(frame, DOM1, DOM1);
        mm.put_writable_frame(writable.unwrap());
    }
    machine.yield_every(0);
    tale.tell(Step::Relinquish).unwrap();
    assert_eq!(machine.domains[1].with_frames(|frames| frames.total()), 0);
}

#[test]
fn the_story_is_told_as_it_should() {
    let entries = frame_entries();
    let machine = TestMachine::new(&entries);
    let mut tale = Tale::new(&machine);
    let mut failed = Vec::new();
    let mut asked = 0;
    for (number, &step) in STORY.iter().enumerate() {
        if repeat(|| tale.call(step)).is_err() {
            failed.push(number);
        }
        asked = machine.asked.load(Ordering::Relaxed).max(asked);
    }
    assert_eq!(failed, [15, 16, 18, 20]);
    assert!(asked > 60, "{asked}");
    assert_eq!(machine.domains[1].with_frames(|frames| frames.total()), 0);
    assert_eq!(machine.buddy.lock().unwrap().free_frames(), RAM_END - 1);
}

/// A call that was begun and may be gone on with.
#[derive(Clone, Copy, Debug)]
enum Call {
    Pin(DomId, Mfn, Level),
    Unpin(DomId, Mfn),
    Load(DomId, Mfn),
    Update(DomId, Request),
    Descriptors(DomId, Mfn),
}

struct Chaos<'t> {
    machine: &'t TestMachine<'t>,
    mm: Mm<'t, TestMachine<'t>>,
    domains: [PtDomain; 2],
    guest: Guest<'t>,
    calls: Vec<Call>,
    roots: Vec<(DomId, Root)>,
    writable: Vec<WritableRef>,
    seen: [u64; 4],
}

impl<'t> Chaos<'t> {
    fn begin(&mut self) {
        let domain = self.guest.domain();
        let level = 1 + self.guest.rng.below(4);
        let mfn = self.guest.frame(domain, level);
        let call = match self.guest.rng.below(10) {
            0..3 => Call::Pin(domain, mfn, Level::ALL[level as usize - 1]),
            3..5 => Call::Unpin(domain, mfn),
            5 => Call::Load(domain, self.guest.frame(domain, 4)),
            6 => Call::Descriptors(domain, mfn),
            _ => {
                let ptr = mfn.address() | u64::from(self.guest.slot()) << 3;
                Call::Update(
                    domain,
                    Request {
                        ptr,
                        val: self.guest.entry(domain, level),
                    },
                )
            }
        };
        self.calls.push(call);
    }

    fn go_on(&mut self) {
        if self.calls.is_empty() {
            return;
        }
        let index = self.guest.rng.below(self.calls.len() as u64) as usize;
        let call = self.calls[index];
        let (Call::Pin(domain, ..)
        | Call::Unpin(domain, _)
        | Call::Load(domain, _)
        | Call::Update(domain, _)
        | Call::Descriptors(domain, _)) = call;
        let lock = &mut self.domains[usize::from(domain.0)].locked();
        let result = match call {
            Call::Pin(_, mfn, level) => self.mm.pin(lock, mfn, level),
            Call::Unpin(_, mfn) => self.mm.unpin(lock, mfn),
            Call::Load(_, mfn) => self
                .mm
                .get_root(lock, mfn)
                .map(|root| self.roots.push((domain, root))),
            Call::Update(_, request) => {
                let parties = Parties::alone(domain);
                self.mm.mmu_update_one(lock, parties, request).map(|_| ())
            }
            Call::Descriptors(_, mfn) => self.mm.get_descriptors(lock, mfn).map(|page| {
                self.mm.put_descriptors(lock, page);
            }),
        };
        // Some guests never come back for the rest.
        if result != Err(Stop::Preempted) || self.guest.rng.one_in(6) {
            self.calls.swap_remove(index);
        }
    }

    fn step(&mut self) {
        self.machine
            .yield_every([0, 1, 1, 2, 3][self.guest.rng.below(5) as usize]);
        match self.guest.rng.below(20) {
            0..5 => self.begin(),
            5..12 => self.go_on(),
            12..16 => self.store(),
            16 => self.hold(),
            17 => self.let_go(),
            18 => self.walk(),
            _ => {
                let domain = self.guest.domain();
                let level = self.guest.rng.below(5);
                let mfn = self.guest.frame(domain, level);
                if self.mm.give_back(mfn, domain).is_ok() {
                    self.machine.allocate(domain);
                }
            }
        }
    }

    fn store(&mut self) {
        let domain = self.guest.domain();
        // From the bottom up, a branch; what is not plain memory stays as it is.
        let mut target = self.guest.frame(domain, 0);
        for level in 1..5 {
            let table = self.guest.frame(domain, level);
            let slot = self.guest.slot();
            let entry = match self.guest.rng.below(4) {
                0 => self.guest.entry(domain, level),
                _ => target.address() | RW,
            };
            if let Ok(page) = self.mm.get_writable_frame(table, domain, domain) {
                self.machine.set_entry(table, slot, entry);
                self.mm.put_writable_frame(page);
            }
            target = table;
        }
    }

    fn hold(&mut self) {
        let (owner, user) = (self.guest.domain(), self.guest.domain());
        let level = self.guest.rng.below(5);
        let mfn = self.guest.frame(owner, level);
        self.writable
            .extend(self.mm.get_writable_frame(mfn, owner, user));
    }

    fn let_go(&mut self) {
        if self.guest.rng.one_in(2) {
            if let Some(page) = self.writable.pop() {
                self.mm.put_writable_frame(page);
            }
        } else if let Some((domain, root)) = self.roots.pop() {
            let lock = &mut self.domains[usize::from(domain.0)].locked();
            repeat(|| self.mm.finish_pending(lock)).unwrap();
            self.mm.put_root(lock, root);
        }
    }

    fn walk(&mut self) {
        let processor = self.guest.rng.below(3) as usize;
        let nth = self.guest.rng.next();
        let remembered = self.machine.remembered_table(processor, nth);
        let start = match remembered.filter(|_| nth.is_multiple_of(3)) {
            Some((mfn, level)) => (
                self.machine.table.get(mfn).unwrap().owner().domain(),
                (mfn, level),
            ),
            None if self.roots.is_empty() => return,
            None => {
                let (domain, root) = &self.roots[nth as usize % self.roots.len()];
                (Some(*domain), (root.mfn(), Type::L4))
            }
        };
        let (Some(domain), table) = start else { return };
        let rng = &mut self.guest.rng;
        self.machine
            .walk(processor, domain, table, rng, nth.is_multiple_of(2));
    }

    fn audit(&mut self) {
        let outside = self.roots.iter().map(|(_, root)| (root.mfn(), 1));
        let outside = outside.chain(self.writable.iter().map(|page| (page.mfn(), 1)));
        audit(&self.mm, self.domains.iter(), outside);
        for mfn in 0..RAM_END {
            let word = TypeWord::load(self.machine.table.get(Mfn(mfn)).unwrap());
            self.seen[0] += u64::from(word.is_stopped());
            self.seen[1] += u64::from(word.is_dissolving());
            self.seen[2] += u64::from(word.is_dissolving() && word.is_pinned());
        }
        self.seen[3] += self
            .domains
            .iter()
            .filter(|domain| !domain.pending.is_empty())
            .count() as u64;
    }
}

fn chaos(seed: u64, steps: u64) -> [u64; 4] {
    let entries = frame_entries();
    let machine = TestMachine::new(&entries);
    let mut chaos = Chaos {
        machine: &machine,
        mm: Mm::new(machine.table, &machine),
        domains: [DOM0, DOM1].map(|domain| PtDomain::new(domain, policy(domain))),
        guest: Guest {
            machine: &machine,
            rng: Rng::new(seed),
            shared: vec![Mfn(3)],
        },
        calls: Vec::new(),
        roots: Vec::new(),
        writable: Vec::new(),
        seen: [0; 4],
    };
    for _ in 0..75 {
        let owner = chaos.guest.domain();
        machine.allocate(owner);
    }
    for _ in 0..steps {
        chaos.step();
        chaos.audit();
    }
    // The end of both domains, with calls under way; interrupted at every point.
    machine.yield_every(1);
    while !chaos.roots.is_empty() || !chaos.writable.is_empty() {
        chaos.let_go();
    }
    for (index, domain) in chaos.domains.iter_mut().enumerate() {
        repeat(|| {
            chaos
                .mm
                .relinquish(&mut domain.locked(), &machine.domains[index])
        })
        .unwrap();
    }
    for frames in &machine.domains {
        assert_eq!(frames.lock().unwrap().total(), 0);
    }
    assert_eq!(machine.buddy.lock().unwrap().free_frames(), RAM_END - 1);
    chaos.seen
}

#[test]
fn half_done_operations_leave_the_books_exact_and_every_frame_comes_back() {
    let mut seen = [0; 4];
    for seed in 0..cases(4) {
        for (total, more) in seen.iter_mut().zip(chaos(seed, 2000)) {
            *total += more;
        }
    }
    assert!(
        seen.iter().all(|&times| times > 20),
        "states that hardly came up: {seen:?}"
    );
}

#[test]
#[ignore = "long"]
fn half_done_operations_leave_the_books_exact_for_long() {
    for seed in 0..200 {
        chaos(10_000 + seed, 10_000);
    }
}
