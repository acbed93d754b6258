//! The heap, for boot and control operations and for small things.
//!
//! Pieces of a page or more come from the frame allocator directly, once it runs: a kernel's decoder asks for
//! tens of MiB, and what guests make grow (handles, grant entries, ports) grows by pages and is charged to
//! them, so that it is bounded by the machine's memory and not by the heap's. Getting such a piece may
//! wait for other processors to flush, so it is never done with interrupts off.
//!
//! Some of the library's values can't be had without ending the hypervisor when there is no memory for them. Those that
//! take a page and more, or of which it matters whether there is room, are made by [`try_box`] and [`ArcMemory`].
//!
//! Small things of domains come from the heap without anybody asking whether there is room: it is made before a
//! domain is ([`make_spare`]), for all that those there are can come to have. Domains that are dead and kept by
//! others count like any other, so that two that keep making one of them again use up memory, and not the heap.

use super::percpu::{self, MAX_CPUS};
use super::{boot_memory, frames, layout, paging};
use crate::lock::IrqLock;
use crate::sync::rank;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::alloc::{GlobalAlloc, Layout};
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};
use guest_abi::ids::{Mfn, PAGE_SIZE};
use linked_list_allocator::Heap;

/// Bytes of heap at boot.
pub(super) const BYTES: u64 = 4 << 20;
/// Bytes of each piece by which it grows.
const PIECE_BYTES: usize = 1 << 20;
/// Pieces, the one of boot included. Enough for a few thousand domains; then no more can be made.
const PIECES: usize = 256;

/// Whether a new allocation is one of whole frames.
fn is_large(layout: Layout) -> bool {
    layout.size() >= PAGE_SIZE && layout.align() <= PAGE_SIZE && frames::is_up()
}

struct Piece {
    heap: IrqLock<Heap, { rank::HEAP }>,
    /// First byte of its memory; 0 for none.
    start: AtomicU64,
    /// How much that is.
    bytes: u64,
}

impl Piece {
    const fn new(bytes: u64) -> Self {
        Self {
            heap: IrqLock::new(Heap::empty()),
            start: AtomicU64::new(0),
            bytes,
        }
    }

    /// Whether it gave this out.
    fn has(&self, address: u64) -> bool {
        let start = self.start.load(Ordering::Acquire);
        start != 0 && address.wrapping_sub(start) < self.bytes
    }
}

struct Allocator {
    pieces: [Piece; PIECES],
}

impl Allocator {
    /// The pieces that there are. They come one after the other, and none goes.
    fn pieces(&self) -> impl Iterator<Item = &Piece> {
        let is_there = |piece: &&Piece| piece.start.load(Ordering::Acquire) != 0;
        self.pieces.iter().take_while(is_there)
    }

    /// Bytes that are free.
    fn free(&self) -> usize {
        self.pieces().map(|piece| piece.heap.lock().free()).sum()
    }
}

#[global_allocator]
static HEAP: Allocator = {
    let mut pieces = [const { Piece::new(PIECE_BYTES as u64) }; PIECES];
    pieces[0] = Piece::new(BYTES);
    Allocator { pieces }
};

// SAFETY: each `Heap` gives out disjoint parts of the memory it was started with, as large and as aligned as
// asked; its lock makes it usable from every processor and from interrupt handlers.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if let Some(pointer) = take_set_aside(layout) {
            return pointer;
        }
        if is_large(layout) {
            return frames::keep(layout.size())
                .map_or(core::ptr::null_mut(), |mfn| paging::direct(mfn.address()));
        }
        self.pieces()
            .find_map(|piece| piece.heap.lock().allocate_first_fit(layout).ok())
            .map_or(core::ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let Some(pointer) = NonNull::new(pointer) else {
            return;
        };
        let address = pointer.as_ptr() as u64;
        let Some(piece) = self.pieces().find(|piece| piece.has(address)) else {
            let mfn = Mfn::of_address(address - layout::DIRECT_START);
            frames::unkeep(mfn, layout.size());
            return;
        };
        // SAFETY: the caller got `pointer` from `alloc` with this layout, and that from this piece.
        unsafe { piece.heap.lock().deallocate(pointer, layout) };
    }
}

/// A value on the heap. `None`: there is no memory for it, which a guest that asks for it gets to hear.
pub(super) fn try_box<T>(value: T) -> Option<Box<T>> {
    const { assert!(size_of::<T>() != 0) };
    // SAFETY: the layout is not empty; the memory is as large and as aligned as a `T`, and becomes one.
    unsafe {
        let place = NonNull::new(alloc::alloc::alloc(Layout::new::<T>()).cast::<T>())?;
        place.write(value);
        Some(Box::from_raw(place.as_ptr()))
    }
}

/// Memory that the next allocation of this layout on a processor gets.
struct SetAside {
    pointer: NonNull<u8>,
    layout: Layout,
}

impl Drop for SetAside {
    fn drop(&mut self) {
        // SAFETY: from `alloc` with this layout, and nobody has got it.
        unsafe { alloc::alloc::dealloc(self.pointer.as_ptr(), self.layout) };
    }
}

// SAFETY: nobody else knows of the memory.
unsafe impl Send for SetAside {}

static SET_ASIDE: [IrqLock<Option<SetAside>, { rank::HEAP }>; MAX_CPUS] =
    [const { IrqLock::new(None) }; MAX_CPUS];

fn take_set_aside(layout: Layout) -> Option<*mut u8> {
    let mut slot = SET_ASIDE.get(percpu::current_cpu() as usize)?.lock();
    let is_it = slot.as_ref().is_some_and(|it| it.layout == layout);
    let memory = is_it.then(|| slot.take()).flatten()?;
    // Whoever gets it gives it back.
    Some(ManuallyDrop::new(memory).pointer.as_ptr())
}

/// Memory for a shared value on the heap.
///
/// The library makes such a value or ends the hypervisor, and whoever has asked before whether there is memory may find
/// that another processor has taken it meanwhile. So its memory is taken first, and the library then gets that.
pub(crate) struct ArcMemory<T> {
    memory: SetAside,
    value: PhantomData<T>,
}

impl<T> ArcMemory<T> {
    /// `None`: there is none.
    pub(crate) fn new() -> Option<Self> {
        // Two counts, and the value.
        let counts = Layout::new::<[usize; 2]>();
        let (layout, _) = counts.extend(Layout::new::<T>()).ok()?;
        let layout = layout.pad_to_align();
        // SAFETY: the layout is not empty.
        let pointer = NonNull::new(unsafe { alloc::alloc::alloc(layout) })?;
        Some(Self {
            memory: SetAside { pointer, layout },
            value: PhantomData,
        })
    }

    /// The value, in this memory.
    pub(crate) fn fill(self, value: T) -> Arc<T> {
        let Some(slot) = SET_ASIDE.get(percpu::current_cpu() as usize) else {
            return Arc::new(value);
        };
        *slot.lock() = Some(self.memory);
        let shared = Arc::new(value);
        // Nothing is left, unless the library lays such values out in another way than we think.
        let left = slot.lock().take();
        drop(left);
        shared
    }
}

/// Sees to it that so many bytes are free for small things; false if there is no memory for that. Not with interrupts
/// off.
pub(super) fn make_spare(bytes: usize) -> bool {
    while HEAP.free() < bytes {
        if !grow() {
            return false;
        }
    }
    true
}

/// Adds a piece.
fn grow() -> bool {
    static GROWING: IrqLock<(), { rank::HEAP_GROWTH }> = IrqLock::new(());
    let Some(mfn) = frames::keep(PIECE_BYTES) else {
        return false;
    };
    let _growing = GROWING.lock();
    let is_free = |piece: &&Piece| piece.start.load(Ordering::Relaxed) == 0;
    let Some(piece) = HEAP.pieces.iter().find(is_free) else {
        frames::unkeep(mfn, PIECE_BYTES);
        return false;
    };
    let start = paging::direct(mfn.address());
    // SAFETY: the memory is the heap's alone from here on, and mapped for good.
    unsafe { piece.heap.lock().init(start, PIECE_BYTES) };
    piece.start.store(start as u64, Ordering::Release);
    true
}

/// Gives the heap its memory. Until then every allocation fails.
pub(super) fn start() {
    let address = layout::DIRECT_START + boot_memory::raw(BYTES, 1 << 12);
    let [first, ..] = &HEAP.pieces;
    // SAFETY: the memory is the heap's alone and mapped for good; called once (boot order).
    unsafe { first.heap.lock().init(address as *mut u8, BYTES as usize) };
    first.start.store(address, Ordering::Release);
}
