//! The allocator against a model that remembers the state of each single frame.

use super::*;
use crate::mm::block::Scrub;
use crate::mm::frame::Owner;
use crate::mm::test_support::{Rng, cases};
use crate::mm::tlb::{FlushStamp, Suspects, Tlb};
use crate::mm::typ::TypeWord;
use guest_abi::ids::DomId;
use std::cell::{Cell, RefCell};
use std::vec::Vec;

/// What the model believes of one frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Is {
    Unknown,
    Free,
    Taken,
}

/// What domains write.
const OWNERS: u8 = 0x55;

/// Memory whose contents and stale translations are tracked: a frame may be zeroed only after the
/// translations to it are gone.
struct Memory {
    contents: RefCell<Vec<u8>>,
    stale_since: RefCell<Vec<Option<u32>>>,
    clock: Cell<u32>,
}

impl Scrub for Memory {
    fn scrub(&self, mfn: Mfn) {
        assert_eq!(
            self.stale_since.borrow()[mfn.0 as usize],
            None,
            "{mfn} zeroed before the flush"
        );
        self.contents.borrow_mut()[mfn.0 as usize] = 0;
    }
}

impl Tlb for Memory {
    fn stamp(&self) -> FlushStamp {
        FlushStamp(self.clock.get())
    }

    fn flush_since(&self, _: Suspects, stamp: FlushStamp) {
        self.clock.set(self.clock.get() + 1);
        for stale in self.stale_since.borrow_mut().iter_mut() {
            if stale.is_some_and(|since| !FlushStamp(since).is_after(stamp)) {
                *stale = None;
            }
        }
    }
}

fn frames(count: usize) -> Vec<Frame> {
    (0..count).map(|_| Frame::new()).collect()
}

struct World<'t> {
    table: FrameTable<'t>,
    buddy: Buddy,
    memory: Memory,
    is: Vec<Is>,
    /// Blocks that are out: head, order, the owner that uses it.
    taken: Vec<(u64, Order, Option<DomId>)>,
}

impl<'t> World<'t> {
    fn new(entries: &'t [Frame], ranges: &[(u64, u64)]) -> Self {
        let mut world = Self {
            table: FrameTable::new(entries),
            buddy: Buddy::new(),
            memory: Memory {
                contents: RefCell::new(vec![0xAA; entries.len()]),
                stale_since: RefCell::new(vec![None; entries.len()]),
                clock: Cell::new(1),
            },
            is: vec![Is::Unknown; entries.len()],
            taken: Vec::new(),
        };
        for &(start, end) in ranges {
            world.buddy.add_range(world.table, Mfn(start), Mfn(end));
            for mfn in start.max(1)..end.min(entries.len() as u64) {
                world.is[mfn as usize] = Is::Free;
            }
        }
        world
    }

    fn is_free(&self, head: u64, order: Order) -> bool {
        (head..head + u64::from(order.frames()))
            .all(|mfn| self.is.get(mfn as usize) == Some(&Is::Free))
    }

    fn a_fitting_block(&self, order: Order, limit: u64) -> Option<u64> {
        let size = u64::from(order.frames());
        (0..(self.is.len() as u64).min(limit) / size)
            .map(|n| n * size)
            .find(|&head| self.is_free(head, order))
    }

    fn allocate(&mut self, rng: &mut Rng) {
        let order = Order(rng.below(7) as u8);
        let max_address_bits = rng.one_in(3).then(|| 10 + rng.below(16) as u32);
        let limit = max_address_bits.map_or(u64::MAX, |bits| (1 << bits) >> 12);
        let Some(block) = self.buddy.allocate(
            self.table,
            Request {
                order,
                max_address_bits,
                reserve: Reserve::Spare,
            },
        ) else {
            assert_eq!(
                self.a_fitting_block(order, limit),
                None,
                "order {order:?} below frame {limit}"
            );
            return;
        };
        let head = block.mfn().0;
        let end = head + u64::from(order.frames());
        assert_eq!(
            (block.order(), head % u64::from(order.frames())),
            (order, 0)
        );
        assert!(
            end <= limit && self.is_free(head, order),
            "{head:#x} {order:?}"
        );
        self.is[head as usize..end as usize].fill(Is::Taken);
        if rng.one_in(8) {
            self.buddy.put_back(self.table, block);
            self.is[head as usize..end as usize].fill(Is::Free);
            return;
        }
        if rng.one_in(8) {
            // For the hypervisor itself, as it is: the bytes count as anything when they come back.
            let _ = block.keep(self.table, &self.memory);
            self.taken.push((head, order, None));
            return;
        }
        if rng.one_in(8) {
            let owner = DomId(rng.below(3) as u16);
            let _ = block.give_first(self.table, &self.memory, owner);
            let contents = &self.memory.contents.borrow()[head as usize..end as usize];
            assert!(!contents.contains(&OWNERS), "another owner's bytes");
            let stale = &self.memory.stale_since.borrow()[head as usize..end as usize];
            assert!(
                stale.iter().all(Option::is_none),
                "another owner's translations"
            );
            self.taken.push((head, order, Some(owner)));
            return;
        }
        let block = block.clean(self.table, &self.memory, &self.memory);
        let contents = &self.memory.contents.borrow()[head as usize..end as usize];
        assert!(contents.iter().all(|&byte| byte == 0), "handed out dirty");
        let owner = rng.one_in(2).then(|| DomId(rng.below(3) as u16));
        let _ = match owner {
            Some(owner) => block.give_to(self.table, owner),
            None => block.keep(self.table),
        };
        self.taken.push((head, order, owner));
    }

    fn free(&mut self, rng: &mut Rng) {
        if self.taken.is_empty() {
            return;
        }
        let (head, order, owner) = self
            .taken
            .swap_remove(rng.below(self.taken.len() as u64) as usize);
        for mfn in head..head + u64::from(order.frames()) {
            // The user writes to the frame, and its processors keep a translation.
            self.memory.contents.borrow_mut()[mfn as usize] = match owner {
                Some(_) => OWNERS,
                None => 0x77,
            };
            let frame = self.table.get(Mfn(mfn)).unwrap();
            if owner.is_some() {
                assert_eq!(
                    self.buddy.free(self.table, Mfn(mfn), Order::FRAME),
                    Err(FreeError::NotHeld(Mfn(mfn)))
                );
                self.memory.stale_since.borrow_mut()[mfn as usize] = Some(self.memory.clock.get());
                frame
                    .typ
                    .store(u64::from(self.memory.clock.get()) << 32, Ordering::Relaxed);
                frame.refs.store(refs::HELD, Ordering::Relaxed);
            }
            self.is[mfn as usize] = Is::Free;
        }
        if rng.one_in(2) {
            self.buddy.free(self.table, Mfn(head), order).unwrap();
        } else {
            for mfn in head..head + u64::from(order.frames()) {
                self.buddy.free(self.table, Mfn(mfn), Order::FRAME).unwrap();
            }
        }
        assert_eq!(
            self.buddy.free(self.table, Mfn(head), order),
            Err(FreeError::NotHeld(Mfn(head)))
        );
    }

    fn idle(&mut self, rng: &mut Rng) -> bool {
        match self.buddy.take_unclean(
            self.table,
            Order(rng.below(5) as u8),
            1 + rng.below(40) as u32,
        ) {
            Unclean::AllClean => return false,
            Unclean::SearchOn => (),
            Unclean::Block(block) => {
                let block = block.clean(self.table, &self.memory, &self.memory);
                self.buddy
                    .free(self.table, block.mfn(), block.order())
                    .unwrap();
            }
        }
        true
    }

    fn check(&self) {
        let free = |end: usize| {
            self.is
                .iter()
                .take(end)
                .filter(|&&is| is == Is::Free)
                .count() as u64
        };
        assert_eq!(self.buddy.free_frames(), free(usize::MAX));
        assert_eq!(self.buddy.low_free_frames(), free(1 << LOW_ZONE));
        let of_width = |least, most| self.buddy.free_frames_of_width(least, most);
        assert_eq!(of_width(0, u32::MAX), free(usize::MAX));
        for bits in 0..=34 {
            let below = free(1 << u32::saturating_sub(bits, 12).max(1));
            assert_eq!(of_width(0, bits), below, "{bits} bits");
            let above = if bits > 12 {
                free(usize::MAX) - below
            } else {
                free(usize::MAX)
            };
            assert_eq!(of_width(bits + 1, 64), above, "more than {bits} bits");
        }
        assert_eq!((of_width(70, 80), of_width(30, 20)), (0, 0));
        // The lists cover exactly the free frames, once each, with no two buddies side by side.
        let mut listed = vec![false; self.is.len()];
        for (index, zone) in self.buddy.zones.iter().enumerate() {
            for (order, lists) in zone.lists.iter().enumerate() {
                assert_eq!(
                    zone.orders >> order & 1 == 1,
                    lists.iter().any(|list| !list.is_empty())
                );
                for (is_clean, list) in lists.iter().enumerate() {
                    let mut next = list.first();
                    let mut len = 0;
                    while let Some(Mfn(head)) = next {
                        assert_eq!(zone_of(head as u32), index);
                        let block = FreeHead::read(self.table.get(Mfn(head)).unwrap()).unwrap();
                        assert_eq!(
                            (block.order.0 as usize, block.is_clean()),
                            (order, is_clean == 1)
                        );
                        let buddy = self
                            .table
                            .get(Mfn(head ^ 1 << order))
                            .and_then(FreeHead::read);
                        assert!(
                            order == 18 || buddy.is_none_or(|buddy| buddy.order != block.order)
                        );
                        for mfn in head..head + (1 << order) {
                            assert!(
                                !listed[mfn as usize] && self.is[mfn as usize] == Is::Free,
                                "{mfn:#x}"
                            );
                            listed[mfn as usize] = true;
                            let frame = self.table.get(Mfn(mfn)).unwrap();
                            let is_clean = frame.refs.load(Ordering::Relaxed) & refs::CLEAN != 0;
                            assert!(is_clean || mfn - head >= u64::from(block.clean));
                            if is_clean {
                                assert_eq!(self.memory.contents.borrow()[mfn as usize], 0);
                                assert_eq!(self.memory.stale_since.borrow()[mfn as usize], None);
                            }
                        }
                        len += 1;
                        next = list.after(self.table, Mfn(head));
                    }
                    assert_eq!(len, list.len());
                }
            }
        }
        assert_eq!(
            listed.iter().filter(|&&listed| listed).count() as u64,
            self.buddy.free_frames()
        );
    }
}

#[test]
fn random_use_agrees_with_a_model_of_single_frames() {
    for seed in 0..cases(30) {
        let mut rng = Rng::new(seed);
        let entries = frames(3000);
        let hole = 500 + rng.below(600);
        let mut world = World::new(
            &entries,
            &[
                (0, 100 + rng.below(300)),
                (hole, hole + 1),
                (hole + 1, 4000),
            ],
        );
        for step in 0..600 {
            match rng.below(10) {
                0..4 => world.allocate(&mut rng),
                4..8 => world.free(&mut rng),
                _ => drop(world.idle(&mut rng)),
            }
            if step % 20 == 0 {
                world.check();
            }
        }
        while !world.taken.is_empty() {
            world.free(&mut rng);
        }
        world.check();
        while world.idle(&mut rng) {}
        world.check();
        assert!(
            world
                .buddy
                .zones
                .iter()
                .flat_map(|zone| &zone.lists)
                .all(|[unclean, _]| unclean.is_empty())
        );
    }
}

#[test]
fn memory_is_added_in_maximal_blocks_that_touch_only_their_first_entry() {
    let entries = frames(6 << 18);
    let mut buddy = Buddy::new();
    buddy.add_range(FrameTable::new(&entries), Mfn(0x100), Mfn(u64::MAX));
    assert_eq!(buddy.free_frames(), (6 << 18) - 0x100);
    let touched = entries
        .iter()
        .filter(|frame| frame.refs.load(Ordering::Relaxed) != 0)
        .count();
    assert_eq!(touched, (18 - 8) + 5);
}

#[test]
fn high_memory_goes_first_and_the_low_reserve_is_for_those_who_may_use_it() {
    // 4 GiB below and 1 GiB above the boundary.
    let entries = frames((1 << 20) + (1 << 18));
    let table = FrameTable::new(&entries);
    let mut buddy = Buddy::new();
    buddy.add_range(table, Mfn(0), Mfn(u64::MAX));
    let gib = Request::anywhere(Order::MAX);
    assert_eq!(buddy.allocate(table, gib).unwrap().mfn(), Mfn(1 << 20));
    buddy.set_low_reserve(3 << 18);
    assert!(buddy.allocate(table, gib).is_none());
    buddy.set_low_reserve(2 << 18);
    assert_eq!(
        zone_of(buddy.allocate(table, gib).unwrap().mfn().0 as u32),
        LOW_ZONE
    );
    assert!(buddy.allocate(table, gib).is_none());
    let below_1_gib = Request {
        order: Order(17),
        max_address_bits: Some(30),
        reserve: Reserve::Use,
    };
    buddy.set_low_reserve(3 << 18);
    // An address limit alone is no way to it, be it one that limits anything or not.
    for max_address_bits in [Some(30), Some(32), Some(64), None] {
        let spared = Request {
            max_address_bits,
            reserve: Reserve::Spare,
            ..below_1_gib
        };
        assert!(buddy.allocate(table, spared).is_none());
    }
    assert_eq!(
        buddy.allocate(table, below_1_gib).unwrap().mfn(),
        Mfn(1 << 17)
    );
    assert!(buddy.allocate(table, below_1_gib).is_none());
    assert!(
        buddy
            .allocate(
                table,
                Request {
                    order: Order(6),
                    max_address_bits: Some(12),
                    reserve: Reserve::Use,
                }
            )
            .is_none()
    );
    assert!(
        buddy
            .allocate(
                table,
                Request {
                    order: Order(6),
                    max_address_bits: Some(0),
                    reserve: Reserve::Use,
                }
            )
            .is_none()
    );
    assert_eq!(
        buddy
            .allocate(
                table,
                Request {
                    order: Order(6),
                    max_address_bits: Some(19),
                    reserve: Reserve::Use,
                }
            )
            .unwrap()
            .mfn(),
        Mfn(64)
    );
}

#[test]
fn what_was_not_handed_out_is_not_taken_back() {
    let entries = frames(64);
    let table = FrameTable::new(&entries);
    let mut buddy = Buddy::new();
    buddy.add_range(table, Mfn(0), Mfn(32));
    for (mfn, order, error) in [
        (Mfn(0), Order::FRAME, FreeError::Unknown(Mfn(0))),
        (Mfn(40), Order::FRAME, FreeError::NotHeld(Mfn(40))),
        (Mfn(16), Order(4), FreeError::NotHeld(Mfn(16))),
        (Mfn(17), Order::FRAME, FreeError::NotHeld(Mfn(17))),
        (Mfn(17), Order(1), FreeError::Misaligned(Mfn(17))),
        (Mfn(64), Order::FRAME, FreeError::Unknown(Mfn(64))),
        (Mfn::INVALID, Order::FRAME, FreeError::Unknown(Mfn::INVALID)),
    ] {
        assert_eq!(buddy.free(table, mfn, order), Err(error));
    }
    assert_eq!(buddy.free_frames(), 31);
}

/// A machine that remembers since when it was asked to flush.
struct Asked(Cell<Option<FlushStamp>>);

impl Scrub for Asked {
    fn scrub(&self, _: Mfn) {}
}

impl Tlb for Asked {
    fn stamp(&self) -> FlushStamp {
        FlushStamp(5 + (1 << 31) + 600)
    }
    fn flush_since(&self, _: Suspects, stamp: FlushStamp) {
        self.0.set(Some(stamp));
    }
}

#[test]
fn a_frame_that_was_freed_long_ago_does_not_hide_one_that_was_freed_since() {
    let entries = frames(4);
    let table = FrameTable::new(&entries);
    let mut buddy = Buddy::new();
    buddy.add_range(table, Mfn(2), Mfn(4));
    let (long_ago, lately) = (5, 5 + (1 << 31) + 500);
    for (index, stamp) in [(2, long_ago), (3, lately)] {
        let owner = Owner::of(DomId(1)).raw();
        entries[index].owner.store(owner, Ordering::Relaxed);
        TypeWord::UNTYPED
            .stamped(FlushStamp(stamp))
            .store(&entries[index]);
    }
    let block = buddy.allocate(table, Request::anywhere(Order(1))).unwrap();
    let asked = Asked(Cell::new(None));
    let _ = block.clean(table, &asked, &asked);
    // A processor whose latest flush was 1000 ticks before the second was freed may still write to it.
    let flushed = FlushStamp(lately - 1000);
    let since = asked.0.get().unwrap();
    assert!(!flushed.is_after(since), "innocent of {since:?}");
}
