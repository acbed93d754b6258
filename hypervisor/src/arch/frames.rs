//! The machine's frame table and frame allocator, and the machine-to-physical table.

use super::boot_memory;
use super::layout::{self, FRAME_TABLE_START, M2P_START};
use super::memory::Machine;
use super::paging::{self, Access};
use crate::lock::IrqLock;
use crate::machine::phys::PhysRange;
use crate::mm::block::{CleanBlock, Scrub, SharedAccess, UncleanBlock, share_boot_frame};
use crate::mm::buddy::{Buddy, Order, Request, Reserve};
use crate::mm::frame::{Frame, FrameTable};
use crate::mm::held::HeldFrame;
use crate::sync::rank;
use alloc::vec::Vec;
use core::mem::size_of;
use core::sync::atomic::{AtomicU64, Ordering};
use guest_abi::ids::{DomId, Mfn, PAGE_SIZE};
use spin::Once;

/// The table's backing is allocated in pieces of this many bytes where there is RAM to describe.
const PIECE: u64 = 2 << 20;

/// Memory below 4 GiB that is kept for devices that reach no further: a driver domain's bounce buffers are
/// 64 MiB, and some more for its drivers' rings.
pub(in crate::arch) const DMA_BYTES: u64 = 96 << 20;

static TABLE: Once<FrameTable<'static>> = Once::new();
/// Backing of each piece of the machine-to-physical table.
static MACHINE_TO_PHYS: Once<Vec<Option<Mfn>>> = Once::new();
static ALLOCATOR: IrqLock<Buddy, { rank::FRAME_ALLOCATOR }> = IrqLock::new(Buddy::new());

/// The frame table.
pub(crate) fn table() -> FrameTable<'static> {
    *TABLE
        .get()
        .expect("the frame table is used before it is there")
}

/// Whether the allocator runs.
pub(super) fn is_up() -> bool {
    TABLE.is_completed()
}

/// Free frames.
pub(super) fn free_frames() -> u64 {
    ALLOCATOR.lock().free_frames()
}

/// Free frames whose addresses have from `least` to `most` bits.
pub(super) fn free_frames_of_width(least: u32, most: u32) -> u64 {
    ALLOCATOR.lock().free_frames_of_width(least, most)
}

/// Zeroes frames through the direct map.
pub(super) struct Zero;

impl Scrub for Zero {
    fn scrub(&self, mfn: Mfn) {
        // SAFETY: only frames of the allocator are scrubbed, which nobody uses and the direct map shows.
        unsafe { paging::fill(mfn.address(), PAGE_SIZE as u64, 0) };
    }
}

/// A zeroed frame for the hypervisor itself.
pub(super) fn zeroed_frame() -> Option<Mfn> {
    let block = ALLOCATOR.lock().allocate(table(), own(Order::FRAME))?;
    Some(block.clean(table(), &Machine, &Zero).keep(table()))
}

/// Maps `entry_size` bytes for each frame below `end` from `start` on: RAM, all words `fill`, for pieces
/// that describe RAM; one frame of them, read-only and shared, for pieces that describe holes.
fn map_pieces(
    start: u64,
    end: Mfn,
    entry_size: u64,
    fill: u64,
    guests_view: Option<u64>,
    has_ram: impl Fn(PhysRange) -> bool,
) -> Vec<Option<Mfn>> {
    let mut backings = Vec::new();
    let hole = boot_memory::zeroed_frames(1);
    let clear = |address: u64, bytes: u64| {
        // SAFETY: just allocated for this table, shown by the direct map.
        unsafe { paging::fill(address, bytes, fill) };
    };
    clear(hole.address(), PAGE_SIZE as u64);
    let bytes = end.0 * entry_size;
    let frames_described = PIECE / entry_size;
    for piece in 0..bytes.div_ceil(PIECE) {
        let at = start + piece * PIECE;
        let described = PhysRange::from_len(
            Mfn(piece * frames_described).address(),
            Mfn(frames_described).address(),
        );
        if has_ram(described) {
            let backing = boot_memory::raw(PIECE, PIECE);
            clear(backing, PIECE);
            backings.push(Some(Mfn::of_address(backing)));
            // SAFETY: the window is the table's, each piece is mapped once, the backing is its own.
            unsafe {
                paging::map_table(at, backing, PIECE, Access::Data);
                if let Some(view) = guests_view {
                    paging::map_table(view + piece * PIECE, backing, PIECE, Access::GuestConstant);
                }
            }
        } else {
            backings.push(None);
            for page in (0..PIECE).step_by(PAGE_SIZE) {
                // SAFETY: as above; nobody writes to the shared frame, and nobody can.
                unsafe {
                    paging::map_table(
                        at + page,
                        hole.address(),
                        PAGE_SIZE as u64,
                        Access::Constant,
                    )
                };
            }
        }
    }
    backings
}

/// Builds both tables and gives the allocator all RAM that is not in use. `has_ram` tells whether there
/// is RAM in a range; `end` is one past the highest frame of RAM.
pub(super) fn start(end: Mfn, has_ram: impl Fn(PhysRange) -> bool) {
    const { assert!(size_of::<Frame>() == 32) };
    let most = (layout::FRAME_TABLE_END - FRAME_TABLE_START) / size_of::<Frame>() as u64;
    assert!(
        end.0 <= most,
        "RAM up to {:#x} is beyond the frame table's window",
        end.address()
    );
    let _ = map_pieces(
        FRAME_TABLE_START,
        end,
        size_of::<Frame>() as u64,
        0,
        None,
        &has_ram,
    );
    let entry = size_of::<u64>() as u64;
    assert!(
        end.0 * entry <= layout::M2P_OWN_END - layout::M2P_OWN_START,
        "too much RAM for the machine-to-physical table"
    );
    let machine_to_phys = map_pieces(
        layout::M2P_OWN_START,
        end,
        entry,
        u64::MAX,
        Some(M2P_START),
        &has_ram,
    );
    // SAFETY: mapped for good just now, zeroed, and all-zero is the entry of a frame nobody knows. Entries
    // of holes are read-only memory: they are never written, because nothing can raise a count from 0.
    let frames =
        unsafe { core::slice::from_raw_parts(FRAME_TABLE_START as *const Frame, end.0 as usize) };
    let table = FrameTable::new(frames);
    let mut allocator = ALLOCATOR.lock();
    boot_memory::free_ranges(|range| {
        let range = range.whole_frames();
        if range.start < range.end {
            allocator.add_range(
                table,
                Mfn::of_address(range.start),
                Mfn::of_address(range.end),
            );
        }
    });
    let (free, low) = (allocator.free_frames(), allocator.low_free_frames());
    if free > low {
        // Where all memory is low there is nothing to save it from.
        allocator.set_low_reserve((DMA_BYTES / PAGE_SIZE as u64).min(low / 4));
    }
    for first in machine_to_phys.iter().flatten() {
        for mfn in first.0..first.0 + PIECE / PAGE_SIZE as u64 {
            // Tools look at the table by frame.
            share_boot_frame(table, Mfn(mfn), DomId::XEN, SharedAccess::ReadOnly);
        }
    }
    MACHINE_TO_PHYS.call_once(|| machine_to_phys);
    TABLE.call_once(|| table);
}

/// First frame of the piece of 2 MiB of the machine-to-physical table with that index. Where it has none of its
/// own, because there is no memory to describe, it is that of another one.
pub(crate) fn machine_to_phys_piece(index: usize) -> Option<Mfn> {
    let pieces = MACHINE_TO_PHYS.get()?;
    let up_to = pieces.get(..=index)?;
    let before = up_to.iter().rev().find_map(|piece| *piece);
    before.or_else(|| pieces.iter().find_map(|piece| *piece))
}

/// Gives the allocator memory that the boot loader has filled and that nobody needs any more.
pub(super) fn free_boot_memory(range: PhysRange) {
    let range = range.whole_frames();
    let first = range.start.max(super::boot::LOW_END);
    if first < range.end {
        let (start, end) = (Mfn::of_address(first), Mfn::of_address(range.end));
        ALLOCATOR.lock().add_range(table(), start, end);
    }
}

/// A request of the hypervisor's own, which may use the reserve: there is no second best for it.
const fn own(order: Order) -> Request {
    Request {
        order,
        max_address_bits: None,
        reserve: Reserve::Use,
    }
}

/// A clean block, for whoever gives it an owner.
pub(super) fn allocate(order: Order) -> Option<CleanBlock> {
    let block = ALLOCATOR
        .lock()
        .allocate(table(), Request::anywhere(order))?;
    Some(block.clean(table(), &Machine, &Zero))
}

/// A block with what is in it.
pub(super) fn allocate_unclean(order: Order) -> Option<UncleanBlock> {
    let block = ALLOCATOR
        .lock()
        .allocate(table(), Request::anywhere(order))?;
    #[cfg(feature = "planted-faults")]
    super::planted::soil(block.mfn(), order);
    Some(block)
}

/// A clean block.
pub(super) fn allocate_as(request: Request) -> Option<CleanBlock> {
    let block = ALLOCATOR.lock().allocate(table(), request)?;
    Some(block.clean(table(), &Machine, &Zero))
}

/// Free frames that are set aside for one domain. Changes under the allocator's lock.
pub(crate) struct Claim(AtomicU64);

/// Free frames that are set aside.
pub(super) fn claimed_frames() -> u64 {
    CLAIMED.load(Ordering::Relaxed)
}

/// The sum of all claims. Changes under the allocator's lock.
static CLAIMED: AtomicU64 = AtomicU64::new(0);

impl Claim {
    /// Nothing.
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// How many.
    pub(crate) fn frames(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn change(&self, frames: u64) {
        let others = CLAIMED.load(Ordering::Relaxed) - self.0.load(Ordering::Relaxed);
        self.0.store(frames, Ordering::Relaxed);
        CLAIMED.store(others + frames, Ordering::Relaxed);
    }

    /// Sets so many free frames aside, and no more; false if not so many are free for it.
    pub(crate) fn set(&self, frames: u64) -> bool {
        let allocator = ALLOCATOR.lock();
        let others = CLAIMED.load(Ordering::Relaxed) - self.0.load(Ordering::Relaxed);
        let is_there = frames <= allocator.free_frames().saturating_sub(others);
        if is_there {
            self.change(frames);
        }
        is_there
    }
}

/// As [`allocate_as`], of what is set aside for the domain or for nobody.
pub(super) fn allocate_claimed(request: Request, claim: &Claim) -> Option<CleanBlock> {
    let frames = u64::from(request.order.frames());
    let mut allocator = ALLOCATOR.lock();
    let own = claim.0.load(Ordering::Relaxed);
    let others = CLAIMED.load(Ordering::Relaxed) - own;
    if allocator.free_frames() < others.saturating_add(frames) {
        return None;
    }
    let block = allocator.allocate(table(), request)?;
    claim.change(own.saturating_sub(frames));
    drop(allocator);
    Some(block.clean(table(), &Machine, &Zero))
}

/// Takes back a block that was not used.
pub(super) fn put_back(block: CleanBlock) {
    let (mfn, order) = block.unused();
    free_block(mfn, order);
}

/// Takes back a frame that nobody references any more.
pub(super) fn free(frame: HeldFrame) {
    let (mfn, order) = frame.into_mfn();
    free_block(mfn, order);
}

fn free_block(mfn: Mfn, order: Order) {
    if let Err(error) = ALLOCATOR.lock().free(table(), mfn, order) {
        log::error!("{mfn} can't be freed: {error:?}; it is lost");
    }
}

/// The block that holds `bytes` bytes.
fn order_of(bytes: usize) -> Option<Order> {
    Order::new(
        bytes
            .div_ceil(PAGE_SIZE)
            .checked_next_power_of_two()?
            .trailing_zeros(),
    )
}

/// A block of at least `bytes` bytes for the hypervisor itself, to be given back by [`unkeep`]. There may be anything
/// in it.
pub(super) fn keep(bytes: usize) -> Option<Mfn> {
    let block = ALLOCATOR.lock().allocate(table(), own(order_of(bytes)?))?;
    Some(block.keep(table(), &Machine))
}

/// Takes back what [`keep`] gave for `bytes` bytes.
pub(super) fn unkeep(mfn: Mfn, bytes: usize) {
    if let Some(order) = order_of(bytes) {
        free_block(mfn, order);
    }
}
