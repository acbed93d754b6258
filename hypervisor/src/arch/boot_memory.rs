//! Frames before the frame allocator runs, and where they come from afterwards.
//!
//! At first memory is taken from the top of RAM below 4 GiB (which the early page tables show), then,
//! with the final page tables, from the top of all RAM. When the frame table is up, what is left goes to
//! the frame allocator.

use super::{frames, layout, paging};
use crate::lock::IrqLock;
use crate::machine::memory_map::MemoryMap;
use crate::machine::phys::PhysRange;
use crate::sync::rank;
use guest_abi::ids::{Mfn, PAGE_SIZE};

/// The most ranges that are kept out of the allocator.
const MAX_TAKEN: usize = 64;
/// Single frames are cut from pieces of this many bytes.
const PIECE: u64 = 256 * 1024;

/// Memory during boot.
struct BootMemory {
    map: MemoryMap,
    /// In use, not to be given out; touching ones are merged.
    taken: [PhysRange; MAX_TAKEN],
    taken_count: usize,
    /// Addresses that can be reached: the early or the final direct map.
    limit: u64,
    /// What is left of the piece that single frames are cut from.
    piece: PhysRange,
}

const NOTHING: PhysRange = PhysRange { start: 0, end: 0 };

static MEMORY: IrqLock<BootMemory, { rank::BOOT_MEMORY }> = IrqLock::new(BootMemory {
    map: MemoryMap::new(),
    taken: [NOTHING; MAX_TAKEN],
    taken_count: 0,
    limit: layout::EARLY_DIRECT_LIMIT,
    piece: NOTHING,
});

impl BootMemory {
    fn take(&mut self, range: PhysRange) {
        let used = self.taken.get_mut(..self.taken_count).unwrap_or(&mut []);
        if let Some(neighbour) = used.iter_mut().find(|taken| taken.start == range.end) {
            neighbour.start = range.start;
            return;
        }
        let slot = self.taken.get_mut(self.taken_count);
        *slot.expect("more than 64 separate ranges are in use at boot") = range;
        self.taken_count += 1;
    }

    fn allocate(&mut self, bytes: u64, align: u64) -> u64 {
        let taken = self.taken.get(..self.taken_count).unwrap_or(&[]);
        let Some(start) = self.map.find_top_down(bytes, align, self.limit, taken) else {
            super::death::die(
                format_args!(
                    "no {bytes:#x} bytes of RAM are free below {:#x} for the hypervisor itself",
                    self.limit
                ),
                None,
            );
        };
        self.take(PhysRange {
            start,
            end: start + bytes,
        });
        start
    }

    fn frame(&mut self) -> u64 {
        if self.piece.is_empty() {
            let start = self.allocate(PIECE, PAGE_SIZE as u64);
            self.piece = PhysRange {
                start,
                end: start + PIECE,
            };
        }
        self.piece.end -= PAGE_SIZE as u64;
        self.piece.end
    }
}

/// Learns what RAM there is. `fill` fills the map in place.
pub(super) fn with_map<R>(fill: impl FnOnce(&mut MemoryMap) -> R) -> R {
    fill(&mut MEMORY.lock().map)
}

/// Keeps `range` (whole frames around it) from being given out.
pub(super) fn reserve(range: PhysRange) {
    let range = range.touched_frames();
    if !range.is_empty() {
        MEMORY.lock().take(range);
    }
}

/// From now on everything in the direct map can be given out.
pub(super) fn reach_all() {
    MEMORY.lock().limit = layout::DIRECT_LIMIT;
}

fn clear(start: u64, bytes: u64) {
    // SAFETY: the range was just given to the caller of this module alone, and the direct map shows it.
    unsafe { paging::fill(start, bytes, 0) };
}

/// `count` frames in a row, zeroed, for good. Once the allocator runs, single ones only.
pub(super) fn zeroed_frames(count: u64) -> Mfn {
    if frames::is_up() {
        assert!(
            count == 1,
            "{count} frames in a row are asked of boot memory after boot"
        );
        return frames::zeroed_frame()
            .expect("no frame is free for the hypervisor's own page tables");
    }
    let bytes = count * PAGE_SIZE as u64;
    let start = if count == 1 {
        MEMORY.lock().frame()
    } else {
        MEMORY.lock().allocate(bytes, PAGE_SIZE as u64)
    };
    clear(start, bytes);
    Mfn::of_address(start)
}

/// `bytes` of memory at a multiple of `align`, not cleared, for good. Machine address.
pub(super) fn raw(bytes: u64, align: u64) -> u64 {
    MEMORY.lock().allocate(bytes, align)
}

/// A free page below 1 MiB, which stays reserved.
pub(super) fn low_page() -> Option<u64> {
    let mut memory = MEMORY.lock();
    let taken = memory.taken.get(..memory.taken_count).unwrap_or(&[]);
    // Firmware keeps data of its own at the end of low memory on some machines; stay well below.
    let start = memory
        .map
        .find_top_down(PAGE_SIZE as u64, PAGE_SIZE as u64, 0x9_0000, taken)?;
    memory.take(PhysRange {
        start,
        end: start + PAGE_SIZE as u64,
    });
    Some(start)
}

/// Calls `give` with every range of RAM that is not in use.
pub(super) fn free_ranges(mut give: impl FnMut(PhysRange)) {
    let memory = MEMORY.lock();
    let taken = memory.taken.get(..memory.taken_count).unwrap_or(&[]);
    for range in memory.map.free(taken) {
        give(range);
    }
}
