//! Random exchanges that fail at random points: no frame is lost or given twice, and what fails changes
//! nothing.

use super::super::block::CleanBlock;
use super::super::buddy::{Order, Request};
use super::super::error::Stop;
use super::super::lock::PtDomain;
use super::super::pte::EntryPolicy;
use super::super::test_machine::{DOM0, DOM1, RAM_END, TestMachine, frame_entries};
use super::super::test_support::{Rng, cases};
use super::*;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::vec::Vec;

/// Lists in the memory of a guest that unmaps them at some moment.
struct Lists {
    given: Vec<Mfn>,
    wanted: Vec<Pfn>,
    told: RefCell<Vec<Option<Mfn>>>,
    accesses_left: Cell<u64>,
}

impl Lists {
    fn access<T>(&self, element: Option<T>) -> Result<T, Unreadable> {
        let left = self.accesses_left.get();
        self.accesses_left.set(left.saturating_sub(1));
        element.filter(|_| left != 0).ok_or(Unreadable)
    }
}

impl ExchangeLists for Lists {
    fn given(&self, index: u64) -> Result<Mfn, Unreadable> {
        self.access(self.given.get(index as usize).copied())
    }
    fn wanted(&self, index: u64) -> Result<Pfn, Unreadable> {
        self.access(self.wanted.get(index as usize).copied())
    }
    fn tell(&self, index: u64, first: Mfn) -> Result<(), Unreadable> {
        self.access(Some(()))?;
        self.told.borrow_mut()[index as usize] = Some(first);
        Ok(())
    }
}

struct Source<'m, 't> {
    machine: &'m TestMachine<'t>,
    blocks_left: Cell<u64>,
    /// Frames of the domain, at every moment.
    total: u32,
}

impl ExchangeSource for Source<'_, '_> {
    fn allocate(&self, order: Order) -> Option<CleanBlock> {
        self.blocks_left.set(self.blocks_left.get().checked_sub(1)?);
        let request = Request::anywhere(order);
        let machine = self.machine;
        let block = machine
            .buddy
            .lock()
            .unwrap()
            .allocate(machine.table, request)?;
        Some(block.clean(machine.table, machine, machine))
    }
    fn put_back(&self, block: CleanBlock) {
        let (mfn, order) = block.unused();
        let mut buddy = self.machine.buddy.lock().unwrap();
        buddy.free(self.machine.table, mfn, order).unwrap();
    }
    fn vacate(&self, frame: &mut HeldFrame) {
        let mut frames = self.machine.domains[0].lock().unwrap();
        frames.vacate(self.machine.table, frame);
        assert_eq!(frames.total(), self.total, "the place is not kept");
    }
    fn replace(&self, block: CleanBlock) -> Mfn {
        let mut frames = self.machine.domains[0].lock().unwrap();
        assert_eq!(frames.total(), self.total, "a place was lost");
        let first = frames.replace(self.machine.table, block, DOM0);
        assert_eq!(frames.total(), self.total, "more frames than before");
        first
    }
}

fn owned(machine: &TestMachine<'_>) -> BTreeSet<u64> {
    let frames = machine.domains[0].lock().unwrap();
    frames.iter(machine.table).map(|mfn| mfn.0).collect()
}

fn free(machine: &TestMachine<'_>) -> u64 {
    machine.buddy.lock().unwrap().free_frames()
}

#[test]
fn shapes_must_agree() {
    let order = |order| Order::new(order).unwrap();
    let shape = Shape::new(128, order(0), 2, order(6)).unwrap();
    assert_eq!((shape.steps(), shape.given_after(1)), (2, 64));
    assert_eq!((shape.steps_of(63), shape.steps_of(64)), (0, 1));
    let shape = Shape::new(2, order(6), 128, order(0)).unwrap();
    assert_eq!((shape.steps(), shape.given_after(2)), (2, 2));
    assert_eq!(Shape::new(127, order(0), 2, order(6)), None);
    assert_eq!(Shape::new(1 << 63, order(1), 0, order(0)), None);
    assert_eq!(Shape::new(0, order(3), 0, order(6)).unwrap().steps(), 0);
}

#[test]
fn steps_happen_as_a_whole_or_not_at_all() {
    let (mut done, mut failed) = (0, 0);
    for seed in 0..cases(250) {
        let entries = frame_entries();
        let machine = TestMachine::new(&entries);
        let mm = Mm::new(machine.table, &machine);
        let mut rng = Rng::new(seed);
        for _ in 0..40 {
            machine.allocate(DOM0).unwrap();
        }
        let foreign = machine.allocate(DOM1).unwrap();
        let mut domain = PtDomain::new(DOM0, EntryPolicy::ORDINARY);
        let mut held = Vec::new();
        for _ in 0..30 {
            let before = owned(&machine);
            let (total, all) = (free(&machine), before.len());
            let (given, wanted) = (rng.below(3) as u32, rng.below(3) as u32);
            let largest = given.max(wanted);
            let mine: Vec<u64> = before.iter().copied().collect();
            let extent = |rng: &mut Rng| match rng.below(40) {
                0 => foreign,
                1 => Mfn(RAM_END + rng.below(20)),
                2 => Mfn(u64::MAX),
                _ => Mfn(mine[rng.below(all as u64) as usize] & !((1 << given) - 1)),
            };
            let nr_given = 1 << (largest - given);
            let nr_wanted = 1 << (largest - wanted);
            let lists = Lists {
                given: (0..nr_given).map(|_| extent(&mut rng)).collect(),
                wanted: (0..nr_wanted).map(|n| Pfn(1000 + n)).collect(),
                told: RefCell::new(std::vec![None; nr_wanted as usize]),
                accesses_left: Cell::new(if rng.one_in(3) { rng.below(8) } else { 100 }),
            };
            let source = Source {
                machine: &machine,
                total: machine.domains[0].lock().unwrap().total(),
                blocks_left: Cell::new(if rng.one_in(4) { rng.below(4) } else { 100 }),
            };
            let order = |order| Order::new(order).unwrap();
            let shape = Shape::new(nr_given, order(given), nr_wanted, order(wanted)).unwrap();
            assert_eq!(shape.steps(), 1);
            // Somebody else uses one of them now and then.
            if rng.one_in(5)
                && let Ok(reference) = mm.get_frame(Mfn(mine[rng.below(all as u64) as usize]), DOM0)
            {
                held.push(reference);
            }
            let result = mm.exchange_step(DOM0, shape, 0, &lists, &source);
            let after = owned(&machine);
            assert_eq!(free(&machine), total, "seed {seed}");
            assert_eq!(after.len(), all, "seed {seed}");
            match result {
                Err(_) => {
                    failed += 1;
                    assert_eq!(after, before, "seed {seed}");
                }
                Ok(()) => {
                    done += 1;
                    let told = lists.told.borrow();
                    let got: BTreeSet<u64> = told
                        .iter()
                        .flat_map(|first| {
                            let first = first.unwrap().0;
                            first..first + (1 << wanted)
                        })
                        .collect();
                    let gave: BTreeSet<u64> = lists
                        .given
                        .iter()
                        .flat_map(|first| first.0..first.0 + (1 << given))
                        .collect();
                    let expected = &(&before - &gave) | &got;
                    assert_eq!(after, expected, "seed {seed}");
                    assert!(got.is_disjoint(&before), "seed {seed}");
                }
            }
            for mfn in &after {
                let frame = machine.table.get(Mfn(*mfn)).unwrap();
                assert!(frame.owner().is(DOM0) && frame.reference_count() >= 1);
            }
        }
        for reference in held {
            mm.put_frame(reference);
        }
        // In the end everything can be given back.
        mm.relinquish(&mut domain.locked(), &machine.domains[0])
            .unwrap();
        assert_eq!(free(&machine), RAM_END - 1 - 1, "seed {seed}");
    }
    assert!(done > 200 && failed > 200, "{done} done, {failed} failed");
}

/// The frames of a domain at its end are taken while another domain exchanges its last one.
struct Ending<'m, 't> {
    source: Source<'m, 't>,
    domain: RefCell<PtDomain>,
}

impl ExchangeSource for Ending<'_, '_> {
    fn allocate(&self, order: Order) -> Option<CleanBlock> {
        self.source.allocate(order)
    }
    fn put_back(&self, block: CleanBlock) {
        self.source.put_back(block);
    }
    fn vacate(&self, frame: &mut HeldFrame) {
        self.source.vacate(frame);
    }
    fn replace(&self, block: CleanBlock) -> Mfn {
        let machine = self.source.machine;
        let mm = Mm::new(machine.table, machine);
        let mut domain = self.domain.borrow_mut();
        let taken = mm.relinquish(&mut domain.locked(), &machine.domains[0]);
        assert_eq!(taken, Err(Stop::Preempted));
        self.source.replace(block)
    }
}

#[test]
fn all_frames_are_taken_from_a_domain_also_one_on_its_way_to_it() {
    let entries = frame_entries();
    let machine = TestMachine::new(&entries);
    let mm = Mm::new(machine.table, &machine);
    let all = free(&machine);
    let given = machine.allocate(DOM0).unwrap();
    let ending = Ending {
        source: Source {
            machine: &machine,
            total: 1,
            blocks_left: Cell::new(1),
        },
        domain: RefCell::new(PtDomain::new(DOM0, EntryPolicy::ORDINARY)),
    };
    let lists = Lists {
        given: std::vec![given],
        wanted: std::vec![Pfn(1000)],
        told: RefCell::new(std::vec![None]),
        accesses_left: Cell::new(100),
    };
    let order = Order::new(0).unwrap();
    let shape = Shape::new(1, order, 1, order).unwrap();
    assert_eq!(mm.exchange_step(DOM0, shape, 0, &lists, &ending), Ok(()));
    assert_eq!(free(&machine), all - 1);
    let mut domain = ending.domain.borrow_mut();
    mm.relinquish(&mut domain.locked(), &machine.domains[0])
        .unwrap();
    assert_eq!(free(&machine), all);
}
