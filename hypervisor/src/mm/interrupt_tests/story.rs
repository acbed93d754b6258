//! A fixed story of one domain, told with an interruption at each point in turn, and what of it deserves a test of its
//! own.

use super::super::error::{MmError, Stop};
use super::super::lock::PtDomain;
use super::super::mmu_update::{Parties, Request};
use super::super::model::policy;
use super::super::ownership::FramesLock;
use super::super::pin::Root;
use super::super::pte;
use super::super::reference::Mm;
use super::super::test_guest::repeat;
use super::super::test_machine::{DOM1, RAM_END, TestMachine, frame_entries};
use super::super::typ::{Level, TypeWord};
use super::{RW, audit};
use guest_abi::ids::Mfn;
use std::sync::atomic::Ordering;
use std::vec::Vec;

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
    fn tell(&mut self, step: Step) -> Result<(), MmError> {
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
