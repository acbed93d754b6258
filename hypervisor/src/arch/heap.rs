//! The heap, for boot and control operations: never on a path that a guest drives. Large pieces (a kernel's
//! decoder asks for tens of MiB) come from the frame allocator directly.

use super::{boot_memory, frames, layout, paging};
use crate::lock::IrqLock;
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;
use guest_abi::ids::Mfn;
use linked_list_allocator::Heap;

/// Bytes of heap.
pub(super) const BYTES: u64 = 4 << 20;

/// Allocations of at least this many bytes are whole frames.
const LARGE: usize = 256 * 1024;

/// Whether an allocation is one of whole frames. Nothing is that large before the frame allocator runs.
fn is_large(layout: Layout) -> bool {
    layout.size() >= LARGE && layout.align() <= 4096 && frames::is_up()
}

struct Allocator(IrqLock<Heap>);

#[global_allocator]
static HEAP: Allocator = Allocator(IrqLock::new(Heap::empty()));

// SAFETY: `Heap` gives out disjoint pieces of the memory it was started with, as large and as aligned as
// asked; the lock makes it usable from every processor and from interrupt handlers.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_large(layout) {
            return frames::keep(layout.size())
                .map_or(core::ptr::null_mut(), |mfn| paging::direct(mfn.address()));
        }
        self.0
            .lock()
            .allocate_first_fit(layout)
            .map_or(core::ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let Some(pointer) = NonNull::new(pointer) else {
            return;
        };
        if is_large(layout) {
            let address = pointer.as_ptr() as u64 - layout::DIRECT_START;
            frames::unkeep(Mfn::of_address(address), layout.size());
            return;
        }
        // SAFETY: the caller got `pointer` from `alloc` with this layout.
        unsafe { self.0.lock().deallocate(pointer, layout) };
    }
}

/// Gives the heap its memory. Until then every allocation fails.
pub(super) fn start() {
    let address = layout::DIRECT_START + boot_memory::raw(BYTES, 1 << 12);
    // SAFETY: the memory is the heap's alone and mapped for good; called once (boot order).
    unsafe { HEAP.0.lock().init(address as *mut u8, BYTES as usize) };
}
