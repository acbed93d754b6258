//! Calls by which two domains give memory back, exchange it and get more, between their calls on page tables, read
//! from bytes: the fuzzer's way to reservations.
//!
//! The lists are in the guests' memory and change with every access. After each call all counts are what walking
//! finds, and every frame of the machine is free or somebody's; at the end of both domains all are free.

use super::block::CleanBlock;
use super::buddy::{Order, Request};
use super::calls::{Bytes, Near, Run, free_frames};
use super::exchange::{ExchangeLists, ExchangeSource, Shape, Unreadable};
use super::held::HeldFrame;
use super::lock::PtDomain;
use super::ownership::FramesLock;
use super::platform::Slot;
use super::test_guest::repeat;
use super::test_machine::{DOM0, DOM1, RAM_END, TestMachine, frame_entries};
use core::cell::{Cell, RefCell};
use guest_abi::ids::{DomId, Mfn, Pfn};
use std::vec::Vec;

/// Calls of one run at the most.
const MAX_CALLS: usize = 200;
/// Frames that a domain may have.
const LIMIT: u32 = 50;

/// Lists whose elements are whatever the bytes say when they are read, and which can't be accessed after a while.
struct Lists<'l, 'b> {
    bytes: RefCell<&'l mut Bytes<'b>>,
    accesses: Cell<u64>,
    /// The next element of each list that has not been accessed.
    given: Cell<u64>,
    wanted: Cell<u64>,
    told: RefCell<Vec<(u64, Mfn)>>,
}

impl Lists<'_, '_> {
    fn access(&self, next: &Cell<u64>, index: u64) -> Result<(), Unreadable> {
        assert_eq!(next.get(), index, "each element is read once, in order");
        next.set(index + 1);
        let left = self.accesses.get();
        self.accesses.set(left.saturating_sub(1));
        if left == 0 { Err(Unreadable) } else { Ok(()) }
    }
}

impl ExchangeLists for Lists<'_, '_> {
    fn given(&self, index: u64) -> Result<Mfn, Unreadable> {
        self.access(&self.given, index)?;
        let mut bytes = self.bytes.borrow_mut();
        Ok(match bytes.byte() {
            255 => Mfn(u64::MAX - 1),
            byte if byte & 3 == 3 => Mfn(u64::from(byte) % (RAM_END + 4)),
            _ => bytes.frame(),
        })
    }

    fn wanted(&self, index: u64) -> Result<Pfn, Unreadable> {
        self.access(&self.wanted, index)?;
        Ok(Pfn(u64::from(self.bytes.borrow_mut().byte())))
    }

    fn tell(&self, index: u64, first: Mfn) -> Result<(), Unreadable> {
        let left = self.accesses.get();
        self.accesses.set(left.saturating_sub(1));
        if left == 0 {
            return Err(Unreadable);
        }
        self.told.borrow_mut().push((index, first));
        Ok(())
    }
}

/// The machine's free memory, of which only so many blocks are to be had.
struct Source<'m, 't> {
    machine: &'m TestMachine<'t>,
    domain: DomId,
    blocks: Cell<u8>,
}

fn allocate(machine: &TestMachine<'_>, order: Order) -> Option<CleanBlock> {
    let request = Request::anywhere(order);
    let block = machine
        .buddy
        .lock()
        .ok()?
        .allocate(machine.table, request)?;
    Some(block.clean(machine.table, machine, machine))
}

fn put_back(machine: &TestMachine<'_>, block: CleanBlock) {
    let (mfn, order) = block.unused();
    let mut buddy = machine.buddy.lock().expect("no panic");
    buddy.free(machine.table, mfn, order).expect("held");
}

fn frames_of<'m>(machine: &'m TestMachine<'_>, domain: DomId) -> &'m impl FramesLock {
    &machine.domains[usize::from(domain.0)]
}

/// What is given to a domain has nothing of its former owner.
fn check_contents(machine: &TestMachine<'_>, block: &CleanBlock) {
    let (first, count) = (block.mfn().0, u64::from(block.order().frames()));
    for mfn in (first..first + count).map(Mfn) {
        let is_zero = |slot: Slot| machine.entry(mfn, slot.number()) == 0;
        assert!(Slot::range(0, 512).all(is_zero), "{mfn} has stale contents");
    }
}

fn adopt(machine: &TestMachine<'_>, domain: DomId, block: CleanBlock) {
    check_contents(machine, &block);
    let _ =
        frames_of(machine, domain).with_frames(|frames| frames.adopt(machine.table, block, domain));
}

impl ExchangeSource for Source<'_, '_> {
    fn allocate(&self, order: Order) -> Option<CleanBlock> {
        self.blocks.set(self.blocks.get().checked_sub(1)?);
        allocate(self.machine, order)
    }

    fn put_back(&self, block: CleanBlock) {
        put_back(self.machine, block);
    }

    fn vacate(&self, frame: &mut HeldFrame) {
        let before = had(self.machine);
        frames_of(self.machine, self.domain)
            .with_frames(|frames| frames.vacate(self.machine.table, frame));
        assert_eq!(had(self.machine), before, "the place is not kept");
    }

    fn replace(&self, block: CleanBlock) -> Mfn {
        let before = had(self.machine);
        check_contents(self.machine, &block);
        let first = frames_of(self.machine, self.domain)
            .with_frames(|frames| frames.replace(self.machine.table, block, self.domain));
        assert_eq!(had(self.machine), before, "not in place of others");
        first
    }
}

/// Makes the calls that `bytes` say.
///
/// # Panics
/// A rule is broken.
pub fn run(bytes: &[u8]) {
    let entries = frame_entries();
    let machine = TestMachine::new(&entries);
    let mut run = Run::new(&machine);
    let near = run.fill(25);
    run.put_in_force(&near);
    let mut bytes = Bytes::new(bytes, Near(near));
    for _ in 0..MAX_CALLS {
        if bytes.is_empty() {
            break;
        }
        // As many calls on tables, so that frames are in use.
        match bytes.byte() {
            which @ 0..128 => call(&mut run, which, &mut bytes),
            _ => run.call(&mut bytes),
        }
        machine.check_caches();
        run.audit();
        assert_eq!(
            free_frames(&machine) + u64::from(had(&machine)),
            RAM_END - 1
        );
    }
    machine.yield_every(1);
    run.end();
    assert_eq!(free_frames(&machine), RAM_END - 1);
}

/// Frames that domains have.
fn had(machine: &TestMachine<'_>) -> u32 {
    machine
        .domains
        .iter()
        .map(|domain| domain.with_frames(|frames| frames.total()))
        .sum()
}

fn call(run: &mut Run<'_>, which: u8, bytes: &mut Bytes<'_>) {
    let machine = run.machine;
    let caller = if bytes.byte() & 1 == 0 { DOM1 } else { DOM0 };
    let frames = &machine.domains[usize::from(caller.0)];
    match which % 8 {
        0..3 => exchange(run, caller, bytes),
        3 | 4 => give_up(run, caller, bytes),
        5 => {
            let _ = run.mm.give_back(bytes.frame(), caller);
        }
        6 => {
            // More memory, within the limit.
            let order = Order::new(u32::from(bytes.byte() % 4)).expect("small");
            let Some(block) = allocate(machine, order) else {
                return;
            };
            let total = frames.with_frames(|frames| frames.total());
            if total + order.frames() > LIMIT {
                put_back(machine, block);
            } else {
                adopt(machine, caller, block);
            }
        }
        _ => {
            let lock = &mut run.domains[usize::from(caller.0)].locked();
            let (mfn, descriptor) = (bytes.frame(), bytes.entry());
            if which & 32 == 0 {
                if let Ok(page) = run.mm.get_descriptors(lock, mfn) {
                    run.mm.put_descriptors(lock, page);
                }
            } else {
                let slot = Slot::new(bytes.slot().into()).expect("a slot");
                let _ = run.mm.update_descriptor(lock, mfn, slot, descriptor << 40);
            }
        }
    }
}

/// A list of frames, gone on with after each that can't be given up at once.
fn give_up(run: &mut Run<'_>, caller: DomId, bytes: &mut Bytes<'_>) {
    let machine = run.machine;
    let frames = &machine.domains[usize::from(caller.0)];
    for _ in 0..1 + bytes.byte() % 6 {
        let (mfn, comes_back) = (bytes.frame(), bytes.byte() & 7 != 0);
        let domain: &mut PtDomain = &mut run.domains[usize::from(caller.0)];
        let mut give_up = || run.mm.give_up(&mut domain.locked(), mfn, frames);
        if comes_back {
            let _ = repeat(give_up);
        } else {
            // Some guests never come back for the rest.
            let _ = give_up();
        }
    }
}

fn exchange(run: &mut Run<'_>, domain: DomId, bytes: &mut Bytes<'_>) {
    let order = |byte: u8| Order::new(u32::from(byte % 3)).expect("small");
    let (given, wanted) = (order(bytes.byte()), order(bytes.byte()));
    let steps = u64::from(bytes.byte() % 3);
    let largest = u64::from(given.frames().max(wanted.frames()));
    let extents = |order: Order| steps * largest / u64::from(order.frames());
    let Some(shape) = Shape::new(extents(given), given, extents(wanted), wanted) else {
        panic!("as many frames on both sides");
    };
    assert_eq!(shape.steps(), steps);
    let machine = run.machine;
    let source = Source {
        machine,
        domain,
        blocks: Cell::new(bytes.byte() / 4),
    };
    let accesses = bytes.byte();
    let lists = Lists {
        bytes: RefCell::new(bytes),
        accesses: Cell::new(if accesses < 128 {
            1000
        } else {
            u64::from(accesses) - 128
        }),
        given: Cell::new(0),
        wanted: Cell::new(0),
        told: RefCell::default(),
    };
    for step in 0..steps {
        let (before, told) = (state(machine), lists.told.borrow().len());
        let result = run.mm.exchange_step(domain, shape, step, &lists, &source);
        if result.is_err() {
            assert!(
                state(machine) == before,
                "a step that failed has changed something"
            );
            return;
        }
        // It got what it was told, all of it, and has as many as before.
        for &(_, first) in &lists.told.borrow()[told..] {
            for mfn in first.0..first.0 + u64::from(wanted.frames()) {
                let frame = machine.table.get(Mfn(mfn)).expect("memory");
                assert!(frame.owner().is(domain) && frame.reference_count() == 1);
            }
        }
        assert_eq!(had(machine), before.1);
    }
}

/// Who has which frames, with how many references: what a refusal leaves as it was.
fn state(machine: &TestMachine<'_>) -> (Vec<(u64, bool, bool)>, u32) {
    let frames = (0..RAM_END).map(|mfn| {
        let frame = machine.table.get(Mfn(mfn)).expect("memory");
        let count = frame.reference_count();
        let is = |domain| count != 0 && frame.owner().is(domain);
        (count, is(DOM0), is(DOM1))
    });
    (frames.collect(), had(machine))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::run;
    use crate::mm::test_support::{Rng, cases};
    use std::vec::Vec;

    #[test]
    fn reservations_read_from_random_bytes_break_no_rule() {
        for seed in 0..cases(40) {
            let mut rng = Rng::new(seed);
            let bytes: Vec<u8> = (0..1500).map(|_| rng.next() as u8).collect();
            run(&bytes);
        }
    }
}
