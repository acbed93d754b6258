//! The heap, for boot and control operations and for small things.
//!
//! Pieces of a page or more come from the frame allocator directly, once it runs: a kernel's decoder asks for
//! tens of MiB, and what guests make grow (handles, grant entries, ports) grows by pages and is charged to
//! them, so that it is bounded by the machine's memory and not by the heap's. Getting such a piece may
//! wait for other processors to flush, so it is never done with interrupts off.

use super::{boot_memory, frames, layout, paging};
use crate::lock::IrqLock;
use alloc::boxed::Box;
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};
use guest_abi::ids::{Mfn, PAGE_SIZE};
use linked_list_allocator::Heap;

/// Bytes of heap.
pub(super) const BYTES: u64 = 4 << 20;

/// Whether a new allocation is one of whole frames.
fn is_large(layout: Layout) -> bool {
    layout.size() >= PAGE_SIZE && layout.align() <= PAGE_SIZE && frames::is_up()
}

struct Allocator {
    heap: IrqLock<Heap>,
    /// First byte of the heap's memory.
    start: AtomicU64,
}

impl Allocator {
    /// Whether the heap gave this out, and not the frame allocator.
    fn has(&self, address: u64) -> bool {
        address.wrapping_sub(self.start.load(Ordering::Relaxed)) < BYTES
    }
}

#[global_allocator]
static HEAP: Allocator = Allocator {
    heap: IrqLock::new(Heap::empty()),
    start: AtomicU64::new(0),
};

// SAFETY: `Heap` gives out disjoint pieces of the memory it was started with, as large and as aligned as
// asked; the lock makes it usable from every processor and from interrupt handlers.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_large(layout) {
            return frames::keep(layout.size())
                .map_or(core::ptr::null_mut(), |mfn| paging::direct(mfn.address()));
        }
        self.heap
            .lock()
            .allocate_first_fit(layout)
            .map_or(core::ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let Some(pointer) = NonNull::new(pointer) else {
            return;
        };
        let address = pointer.as_ptr() as u64;
        if !self.has(address) {
            let mfn = Mfn::of_address(address - layout::DIRECT_START);
            frames::unkeep(mfn, layout.size());
            return;
        }
        // SAFETY: the caller got `pointer` from `alloc` with this layout.
        unsafe { self.heap.lock().deallocate(pointer, layout) };
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

/// Whether there is room for many small things.
pub(super) fn has_spare() -> bool {
    /// A domain with all that belongs to it takes far less.
    const SPARE: usize = 64 << 10;
    HEAP.heap.lock().free() > SPARE
}

/// Gives the heap its memory. Until then every allocation fails.
pub(super) fn start() {
    let address = layout::DIRECT_START + boot_memory::raw(BYTES, 1 << 12);
    HEAP.start.store(address, Ordering::Relaxed);
    // SAFETY: the memory is the heap's alone and mapped for good; called once (boot order).
    unsafe { HEAP.heap.lock().init(address as *mut u8, BYTES as usize) };
}
