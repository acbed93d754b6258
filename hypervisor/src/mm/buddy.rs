//! The frame allocator: a binary buddy system over machine frames.
//!
//! Everything that it knows lives in the entries of the frame table: a free block is described by the
//! entry of its first frame, and free blocks of the same *zone*, order and cleanness form a list. So
//! memory is added at boot by touching one entry for each block of up to 1 GiB, and nothing here
//! allocates.
//!
//! **Zones.** A block belongs to the zone that is the bit length of its first frame number; blocks are
//! aligned to their size and frame 0 is never free, so all frames of a block have that bit length and
//! two buddies are always in the same zone. "Below 2^n bytes" is then a limit on the zone, exact and
//! found without a walk, and preferring high zones keeps memory below 4 GiB for those who need it for
//! DMA. A configurable [reserve](Buddy::set_low_reserve) of it is kept from everybody else.
//!
//! **Scrubbing.** A frame that had an owner may hold that owner's data, and processors may hold
//! translations to it. It is clean only after both are gone: flush, then zero, in this order, or else a
//! stale translation could write to the frame after it was zeroed. [`Buddy::allocate`] hands out an
//! [`UncleanBlock`], and the only way from there to a usable frame is [`UncleanBlock::clean`], which
//! does both for the frames that need it. An idle processor does the same ahead of time with
//! [`Buddy::take_unclean`]. Memory that was never owned (added at boot) counts as unclean too:
//! what was in it belongs to whoever ran on this machine before us. Only the first domain, which may look
//! into every frame anyway, is built of it as it is.
//!
//! The allocator is plain data behind one lock of the caller's, a leaf in the lock order. Work under
//! that lock is O(orders), but for [`Buddy::free`], which touches each frame of its block.

#![forbid(unsafe_code)]

use super::block::UncleanBlock;
use super::frame::{Frame, FrameTable, refs};
use super::frame_list::FrameList;
use crate::sync::atomic::Ordering;
use guest_abi::ids::Mfn;

/// A block's size: 2^order frames, order 0 (4 KiB) to 18 (1 GiB).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Order(u8);

impl Order {
    /// One frame.
    pub const FRAME: Self = Self(0);
    /// The largest block: 1 GiB.
    pub const MAX: Self = Self(18);

    /// The order `order`, if blocks of that size exist.
    #[must_use]
    pub const fn new(order: u32) -> Option<Self> {
        if order <= Self::MAX.0 as u32 {
            Some(Self(order as u8))
        } else {
            None
        }
    }

    /// log2 of the number of frames.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0 as u32
    }

    /// The number of frames, 1 to 2^18.
    #[must_use]
    pub const fn frames(self) -> u32 {
        1 << self.0
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// Size of the block; it is aligned to its size.
    pub order: Order,
    /// The whole block lies below 2^this bytes. None: anywhere.
    pub max_address_bits: Option<u32>,
    /// Whether the low reserve may be touched.
    pub reserve: Reserve,
}

/// What a request may do with the [low reserve](Buddy::set_low_reserve).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reserve {
    /// Leave it alone: it is not for whoever asks.
    Spare,
    /// Use it up.
    Use,
}

impl Request {
    /// One block of `order`, anywhere.
    #[must_use]
    pub const fn anywhere(order: Order) -> Self {
        Self {
            order,
            max_address_bits: None,
            reserve: Reserve::Spare,
        }
    }
}

/// Why a block was not taken back: the hypervisor's own mistake, memory is leaked rather than handed
/// out twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FreeError {
    /// The frame has no entry, or is frame 0.
    Unknown(Mfn),
    /// The block is not aligned to its size.
    Misaligned(Mfn),
    /// The frame is free already, or allocated to somebody.
    NotHeld(Mfn),
}

/// Zones: bit lengths 0 to 32 of a 32-bit frame number.
const NR_ZONES: usize = 33;
/// The highest zone below 4 GiB.
const LOW_ZONE: usize = 20;
const NR_ORDERS: usize = Order::MAX.0 as usize + 1;

/// Free blocks of one zone.
struct Zone {
    /// By order; `lists[order][1]` holds the blocks that are clean throughout.
    lists: [[FrameList; 2]; NR_ORDERS],
    /// Bit n: a list of order n is not empty.
    orders: u32,
    /// Free frames, in blocks of all orders.
    free_frames: u64,
}

impl Zone {
    const EMPTY: Self = Self {
        lists: [const { [const { FrameList::new() }; 2] }; NR_ORDERS],
        orders: 0,
        free_frames: 0,
    };
}

/// What the entry of a free block's first frame says about the block.
#[derive(Clone, Copy)]
struct FreeHead {
    order: Order,
    /// So many frames from the first one on are known to be clean; more may be.
    clean: u32,
}

impl FreeHead {
    const ORDER_BITS: u32 = 5;

    fn read(frame: &Frame) -> Option<Self> {
        if frame.refs.load(Ordering::Relaxed) & refs::FREE_HEAD == 0 {
            return None;
        }
        let aux = frame.aux.load(Ordering::Relaxed);
        Some(Self {
            order: Order::new(aux & ((1 << Self::ORDER_BITS) - 1))?,
            clean: aux >> Self::ORDER_BITS,
        })
    }

    fn aux(self) -> u32 {
        self.order.get() | self.clean << Self::ORDER_BITS
    }

    fn is_clean(self) -> bool {
        self.clean >= self.order.frames()
    }
}

/// What [`Buddy::take_unclean`] found.
#[derive(Debug)]
pub enum Unclean {
    /// A block of at most the order asked for, with something to scrub in it.
    Block(UncleanBlock),
    /// Nothing yet, but the search is not through: call again.
    SearchOn,
    /// All free memory is clean.
    AllClean,
}

/// The allocator's own state: list heads and counters. Const-constructible, to sit in a static.
pub struct Buddy {
    zones: [Zone; NR_ZONES],
    free_frames: u64,
    low_free_frames: u64,
    low_reserve_frames: u64,
}

impl Default for Buddy {
    fn default() -> Self {
        Self::new()
    }
}

fn zone_of(head: u32) -> usize {
    (u32::BITS - head.leading_zeros()) as usize
}

impl Buddy {
    /// An allocator without memory.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            zones: [const { Zone::EMPTY }; NR_ZONES],
            free_frames: 0,
            low_free_frames: 0,
            low_reserve_frames: 0,
        }
    }

    /// Free frames of the machine.
    #[must_use]
    pub const fn free_frames(&self) -> u64 {
        self.free_frames
    }

    /// Free frames below 4 GiB.
    #[must_use]
    pub const fn low_free_frames(&self) -> u64 {
        self.low_free_frames
    }

    /// Free frames whose addresses have from `least` to `most` bits. What is less than a page's address is taken as that; of
    /// widths that no frame has, there are none.
    #[must_use]
    pub fn free_frames_of_width(&self, least: u32, most: u32) -> u64 {
        let zone = |bits: u32| (bits.saturating_sub(guest_abi::ids::PAGE_SHIFT) as usize).max(1);
        let zones = self.zones.get(zone(least)..).unwrap_or_default();
        let wanted = (zone(most) + 1).saturating_sub(zone(least));
        zones.iter().take(wanted).map(|zone| zone.free_frames).sum()
    }

    /// Keeps `frames` frames below 4 GiB for requests that name an address limit.
    pub const fn set_low_reserve(&mut self, frames: u64) {
        self.low_reserve_frames = frames;
    }

    /// Adds the frames `start..end`, which nobody uses and which were not added before; the part that the
    /// table does not describe, and frame 0, are left out. Boot time. Touches one entry a block.
    pub fn add_range(&mut self, table: FrameTable<'_>, start: Mfn, end: Mfn) {
        let end = end.0.min(table.end().0);
        let mut at = start.0.max(1);
        while at < end {
            let aligned = at.trailing_zeros();
            let fits = (end - at).ilog2();
            let order = Order(aligned.min(fits).min(Order::MAX.get()) as u8);
            // Below the end of the table, so below 2^32.
            self.insert(table, at as u32, FreeHead { order, clean: 0 });
            self.count(at as u32, order, u64::saturating_add);
            at += u64::from(order.frames());
        }
    }

    /// Takes a block. None when there is no such block; memory may still be free in smaller pieces, or
    /// above the address limit.
    pub fn allocate(&mut self, table: FrameTable<'_>, request: Request) -> Option<UncleanBlock> {
        let order = request.order;
        let highest = match request.max_address_bits {
            None => NR_ZONES - 1,
            Some(bits) => {
                (bits.checked_sub(guest_abi::ids::PAGE_SHIFT)? as usize).min(NR_ZONES - 1)
            }
        };
        let reserve = match request.reserve {
            Reserve::Spare => self.low_reserve_frames,
            Reserve::Use => 0,
        };
        for index in (1..=highest).rev() {
            let zone = &self.zones[index];
            let fitting = zone.orders >> order.get();
            if fitting == 0 {
                continue;
            }
            let left = self
                .low_free_frames
                .saturating_sub(u64::from(order.frames()));
            if index <= LOW_ZONE && reserve != 0 && left < reserve {
                return None;
            }
            let found = Order((order.get() + fitting.trailing_zeros()) as u8);
            let [unclean, clean] = &zone.lists[found.0 as usize];
            let head = clean.first().or_else(|| unclean.first())?.0 as u32;
            return self.carve(table, head, head, order);
        }
        None
    }

    /// Takes back the block of `order` at `mfn`. Each of its frames is in state *held*; those that were
    /// used are unclean now.
    ///
    /// # Errors
    /// [`FreeError`]; nothing was freed.
    pub fn free(&mut self, table: FrameTable<'_>, mfn: Mfn, order: Order) -> Result<(), FreeError> {
        let head = u32::try_from(mfn.0)
            .ok()
            .filter(|&head| head != 0)
            .ok_or(FreeError::Unknown(mfn))?;
        if head & (order.frames() - 1) != 0 {
            return Err(FreeError::Misaligned(mfn));
        }
        let frames = || (head..=head + (order.frames() - 1)).map(|index| (index, table.at(index)));
        for (index, frame) in frames() {
            let mfn = Mfn(u64::from(index));
            let state = frame
                .ok_or(FreeError::Unknown(mfn))?
                .refs
                .load(Ordering::Acquire);
            if state & !refs::CLEAN != refs::HELD {
                return Err(FreeError::NotHeld(mfn));
            }
        }
        let mut clean = None;
        for (index, frame) in frames() {
            let state = frame.map_or(0, |frame| {
                frame.refs.fetch_and(refs::CLEAN, Ordering::AcqRel)
            });
            if state & refs::CLEAN == 0 && clean.is_none() {
                clean = Some(index - head);
            }
        }
        self.give_back(
            table,
            head,
            FreeHead {
                order,
                clean: clean.unwrap_or(order.frames()),
            },
        );
        Ok(())
    }

    /// Takes back a block that was not used.
    pub fn put_back(&mut self, table: FrameTable<'_>, block: UncleanBlock) {
        if let Some(frame) = table.at(block.head) {
            frame.refs.fetch_and(refs::CLEAN, Ordering::AcqRel);
        }
        self.give_back(
            table,
            block.head,
            FreeHead {
                order: block.order,
                clean: 0,
            },
        );
    }

    /// Finds free memory that is not clean, for an idle processor to clean and [free](Self::free) again.
    /// Looks at no more than `budget` entries.
    pub fn take_unclean(&mut self, table: FrameTable<'_>, largest: Order, budget: u32) -> Unclean {
        let Some(head) = self.first_unclean() else {
            return Unclean::AllClean;
        };
        let Some(block) = table.at(head).and_then(FreeHead::read) else {
            return Unclean::AllClean;
        };
        let size = block.order.frames();
        let mut clean = block.clean;
        let scan_end = size.min(clean.saturating_add(budget.max(1)));
        while clean < scan_end {
            let state = table
                .at(head + clean)
                .map_or(0, |frame| frame.refs.load(Ordering::Relaxed));
            if state & refs::CLEAN == 0 {
                let order = block.order.min(largest);
                let wanted = (head + clean) & !(order.frames() - 1);
                self.set_clean(table, head, clean);
                return self
                    .carve(table, head, wanted, order)
                    .map_or(Unclean::AllClean, Unclean::Block);
            }
            clean += 1;
        }
        self.set_clean(table, head, clean);
        Unclean::SearchOn
    }

    fn first_unclean(&self) -> Option<u32> {
        self.zones
            .iter()
            .rev()
            .filter(|zone| zone.orders != 0)
            .find_map(|zone| {
                zone.lists
                    .iter()
                    .find_map(|[unclean, _]| unclean.first())
                    .map(|mfn| mfn.0 as u32)
            })
    }

    fn set_clean(&mut self, table: FrameTable<'_>, head: u32, clean: u32) {
        if let Some(block) = self.remove(table, head) {
            self.insert(table, head, FreeHead { clean, ..block });
        }
    }

    /// Splits the free block at `head` until the block of `order` at `wanted` (inside it) stands alone,
    /// and takes that one.
    fn carve(
        &mut self,
        table: FrameTable<'_>,
        head: u32,
        wanted: u32,
        order: Order,
    ) -> Option<UncleanBlock> {
        let mut block = self.remove(table, head)?;
        let mut head = head;
        while block.order > order {
            let half = Order(block.order.0 - 1);
            let low = FreeHead {
                order: half,
                clean: block.clean.min(half.frames()),
            };
            let high = FreeHead {
                order: half,
                clean: block.clean.saturating_sub(half.frames()),
            };
            let middle = head + half.frames();
            if wanted < middle {
                self.insert_alone(table, middle, high);
                block = low;
            } else {
                self.insert_alone(table, head, low);
                (head, block) = (middle, high);
            }
        }
        if let Some(frame) = table.at(head) {
            frame.refs.fetch_or(refs::HELD, Ordering::AcqRel);
        }
        self.count(head, order, u64::saturating_sub);
        Some(UncleanBlock { head, order })
    }

    /// Counts the block in or out.
    fn count(&mut self, head: u32, order: Order, change: fn(u64, u64) -> u64) {
        let (frames, zone) = (u64::from(order.frames()), zone_of(head));
        self.free_frames = change(self.free_frames, frames);
        if let Some(zone) = self.zones.get_mut(zone) {
            zone.free_frames = change(zone.free_frames, frames);
        }
        if zone <= LOW_ZONE {
            self.low_free_frames = change(self.low_free_frames, frames);
        }
    }

    fn give_back(&mut self, table: FrameTable<'_>, head: u32, block: FreeHead) {
        self.insert(table, head, block);
        self.count(head, block.order, u64::saturating_add);
    }

    /// Puts a block into its list, merged with its free buddies.
    fn insert(&mut self, table: FrameTable<'_>, head: u32, block: FreeHead) {
        let (mut head, mut block) = (head, block);
        while block.order < Order::MAX {
            let other_head = head ^ block.order.frames();
            let same_size = |other: &FreeHead| other.order == block.order;
            let Some(other) = table
                .at(other_head)
                .and_then(FreeHead::read)
                .filter(same_size)
            else {
                break;
            };
            self.remove(table, other_head);
            let (low, high) = if head < other_head {
                (block, other)
            } else {
                (other, block)
            };
            let clean = if low.is_clean() {
                low.order.frames() + high.clean
            } else {
                low.clean
            };
            head = head.min(other_head);
            block = FreeHead {
                order: Order(block.order.0 + 1),
                clean,
            };
        }
        self.insert_alone(table, head, block);
    }

    fn insert_alone(&mut self, table: FrameTable<'_>, head: u32, block: FreeHead) {
        let Some(frame) = table.at(head) else { return };
        frame.aux.store(block.aux(), Ordering::Relaxed);
        frame.refs.fetch_or(refs::FREE_HEAD, Ordering::AcqRel);
        let zone = &mut self.zones[zone_of(head)];
        zone.lists[block.order.0 as usize][usize::from(block.is_clean())]
            .push(table, Mfn(u64::from(head)));
        zone.orders |= 1 << block.order.0;
    }

    fn remove(&mut self, table: FrameTable<'_>, head: u32) -> Option<FreeHead> {
        let frame = table.at(head)?;
        let block = FreeHead::read(frame)?;
        let zone = &mut self.zones[zone_of(head)];
        let lists = &mut zone.lists[block.order.0 as usize];
        lists[usize::from(block.is_clean())].remove(table, Mfn(u64::from(head)));
        if lists.iter().all(FrameList::is_empty) {
            zone.orders &= !(1 << block.order.0);
        }
        frame.refs.fetch_and(!refs::FREE_HEAD, Ordering::AcqRel);
        frame.aux.store(0, Ordering::Relaxed);
        Some(block)
    }
}

#[cfg(all(test, not(loom)))]
#[path = "buddy_tests.rs"]
mod tests;
