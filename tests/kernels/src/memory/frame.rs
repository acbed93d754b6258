//! Frames that the cases may do anything with.
//!
//! They lie in the kernel's image, so that each has an address in the initial mapping. Nothing but the
//! accessors here touches what they hold, and no reference points into them.

use crate::notes::VIRT_BASE;
use crate::start::start_info;
use core::sync::atomic::{AtomicUsize, Ordering};
use guest_abi::ids::{Mfn, PAGE_SHIFT, PAGE_SIZE, Pfn, Vaddr};

/// Frames for all that one case does.
const POOL_FRAMES: usize = if cfg!(feature = "few-frames") {
    64
} else {
    2048
};

#[repr(C, align(4096))]
struct Pool(core::cell::UnsafeCell<[[u8; PAGE_SIZE]; POOL_FRAMES]>);

// SAFETY: the content is only reached by volatile accesses through raw pointers.
unsafe impl Sync for Pool {}

static POOL: Pool = Pool(core::cell::UnsafeCell::new([[0; PAGE_SIZE]; POOL_FRAMES]));
static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// A frame of this domain that has an address in the initial mapping.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Frame(Pfn);

/// Checks that frames are where the rest expects them.
pub(crate) fn init() {
    let last = Frame::at(Vaddr(
        POOL.0.get() as u64 + (POOL_FRAMES as u64 - 1) * PAGE_SIZE as u64,
    ));
    assert!(
        last.pfn().0 < start_info().nr_pages,
        "the domain is too small"
    );
}

impl Frame {
    /// A frame that nobody has used, zero and writable.
    pub(crate) fn alloc() -> Self {
        let index = TAKEN.fetch_add(1, Ordering::Relaxed);
        assert!(index < POOL_FRAMES, "no frames left");
        Self::at(Vaddr(POOL.0.get() as u64 + (index * PAGE_SIZE) as u64))
    }

    /// Frames whose addresses follow each other.
    pub(crate) fn alloc_many<const N: usize>() -> [Self; N] {
        let index = TAKEN.fetch_add(N, Ordering::Relaxed);
        assert!(index + N <= POOL_FRAMES, "no frames left");
        core::array::from_fn(|n| {
            Self::at(Vaddr(
                POOL.0.get() as u64 + ((index + n) * PAGE_SIZE) as u64,
            ))
        })
    }

    /// The frame behind an address in the initial mapping.
    pub(crate) fn at(va: Vaddr) -> Self {
        Self(Pfn((va.0 - VIRT_BASE) >> PAGE_SHIFT))
    }

    /// One of the domain's frames by its own number; it must lie in the initial mapping.
    pub(crate) fn of_pfn(pfn: Pfn) -> Self {
        Self(pfn)
    }

    /// One of the domain's frames by its machine frame number, looked up in the hypervisor's table.
    pub(crate) fn of_mfn(mfn: Mfn) -> Self {
        // SAFETY: the table is readable for every frame of the machine's memory.
        let pfn = unsafe { ((Vaddr::M2P_START.0 + mfn.0 * 8) as *const u64).read_volatile() };
        Self(Pfn(pfn))
    }

    /// Its number in the domain.
    pub(crate) fn pfn(self) -> Pfn {
        self.0
    }

    /// Its number in the machine, as the builder has listed it.
    pub(crate) fn mfn(self) -> Mfn {
        Mfn(self.list_entry())
    }

    fn list_entry(self) -> u64 {
        let list = start_info().mfn_list.0 as *const u64;
        // SAFETY: the list has an element for each of the domain's frames.
        unsafe { list.add(self.0.0 as usize).read_volatile() }
    }

    /// Its address in the initial mapping.
    pub(crate) fn va(self) -> Vaddr {
        Vaddr(VIRT_BASE + (self.0.0 << PAGE_SHIFT))
    }

    /// The machine address of one of its 512 words.
    pub(crate) fn word_address(self, index: usize) -> u64 {
        self.mfn().address() + index as u64 * 8
    }

    fn word(self, index: usize) -> *mut u64 {
        assert!(index < PAGE_SIZE / 8);
        (self.va().0 as *mut u64).wrapping_add(index)
    }

    /// Reads one of its 512 words.
    pub(crate) fn read(self, index: usize) -> u64 {
        // SAFETY: a volatile access to what no reference points to; a fault is reported.
        unsafe { self.word(index).read_volatile() }
    }

    /// Writes one of its 512 words.
    pub(crate) fn write(self, index: usize, value: u64) {
        // SAFETY: a volatile access to what no reference points to; a fault is reported.
        unsafe { self.word(index).write_volatile(value) }
    }
}
