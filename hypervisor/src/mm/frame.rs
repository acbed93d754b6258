//! One entry for each machine frame: who owns it, how often it is referenced, what it may be used as.

#![forbid(unsafe_code)]

use crate::speculation::element;
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use core::fmt;
use guest_abi::ids::{DomId, Mfn};

/// What is known about one machine frame. 32 bytes; an all-zero entry is legal and means "not
/// allocated, never owned".
///
/// A frame is in one of four states, told apart by `refs` alone:
///
/// | state | `refs` | entered by | left by |
/// |---|---|---|---|
/// | unknown | 0 | the zeroed table; being inside (not at the head of) a free block | `Buddy::add_range`, `Buddy::allocate` of the block |
/// | free head | [`FREE_HEAD`](refs::FREE_HEAD) | `Buddy::add_range`, `Buddy::free` | `Buddy::allocate`, merging |
/// | held | [`HELD`](refs::HELD) | `Buddy::allocate`; the last reference dropped | `Buddy::free`; being given to an owner |
/// | allocated | count >= 1 | being given to an owner | the last reference dropped |
///
/// A frame inside a free block and a frame that the allocator never heard of look alike on purpose:
/// gigabytes of memory are added by touching one entry a block.
#[repr(C)]
pub struct Frame {
    /// State bits and the general reference count, see [`refs`].
    ///
    /// Allocated: the count is one for the allocation itself (while
    /// [`ALLOCATED`](refs::ALLOCATED) is set), one for each present page-table entry that maps the
    /// frame, one for each type reference, one for a residue, one for whoever holds it otherwise
    /// (grant, root). Anyone may raise it from a value of at least 1, with no lock; nobody can raise
    /// it from 0. Who drops it to 0 owns the frame in state *held* and gives it to the allocator.
    /// At [`MAX_COUNT`](refs::MAX_COUNT) a further reference is refused.
    pub(super) refs: AtomicU64,
    /// Allocated: type, type count, type flags and TLB stamp, see `typ`. Free and held: only the
    /// stamp is meaningful, the moment when the last reference was dropped.
    pub(super) typ: AtomicU64,
    /// Owner as [`Owner`]. Allocated: stable while any reference is held. Free and held: the *last*
    /// owner, whose processors may still hold translations, or none when the frame has been flushed
    /// and scrubbed.
    pub(super) owner: AtomicU32,
    /// Neighbours in the one intrusive list that the frame is in, by frame number, 0 for none. Free
    /// head: the free list of its zone, order and cleanness, under the allocator's lock. Allocated:
    /// the owner's list of frames, under the lock of that list.
    pub(super) prev: AtomicU32,
    /// See `prev`.
    pub(super) next: AtomicU32,
    /// Free head: order in bits 0..=4, and in the rest the number of leading frames of the block that
    /// are known to be clean, under the allocator's lock. Allocated: the residue of interrupted
    /// work on a table, 0..=512, under the page-table lock of the owner.
    pub(super) aux: AtomicU32,
}

/// The fields of [`Frame::refs`].
pub mod refs {
    /// The general reference count.
    pub const COUNT: u64 = (1 << 48) - 1;
    /// Where further references are refused. 2^48 page-table entries would need 2 PiB of tables; the room
    /// above is for references that the hypervisor adds where it holds one, which can't be refused.
    pub const MAX_COUNT: u64 = COUNT - (1 << 32);
    /// One of the references is the allocation's own (of a shared frame: the hypervisor's); cleared
    /// together with that reference.
    pub const ALLOCATED: u64 = 1 << 63;
    /// The hypervisor made the frame and shares it with its owner: not part of the owner's memory, can't
    /// be given back by the owner, no cache attributes but write-back.
    pub const SHARED: u64 = 1 << 62;
    /// First frame of a free block.
    pub const FREE_HEAD: u64 = 1 << 61;
    /// Contents are zero and no processor has a translation to it. Only while free or held.
    pub const CLEAN: u64 = 1 << 59;
    /// Taken from the allocator and not (or no longer) referenced.
    pub const HELD: u64 = 1 << 58;
}

/// Who owns a frame: nobody, a domain, or one of the reserved names ([`DomId::IO`], [`DomId::XEN`]).
/// Stored as the domain number plus 1; 0 is nobody.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Owner(u32);

impl Owner {
    /// Nobody.
    pub const NONE: Self = Self(0);

    /// The domain `domain`.
    #[must_use]
    pub const fn of(domain: DomId) -> Self {
        Self(domain.0 as u32 + 1)
    }

    /// The domain, if there is one.
    #[must_use]
    pub const fn domain(self) -> Option<DomId> {
        match self.0 {
            0 => None,
            n => Some(DomId((n - 1) as u16)),
        }
    }

    /// Whether this is `domain`.
    #[inline]
    #[must_use]
    pub const fn is(self, domain: DomId) -> bool {
        self.0 == domain.0 as u32 + 1
    }

    pub(super) const fn raw(self) -> u32 {
        self.0
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.domain() {
            None => f.write_str("nobody"),
            Some(domain) => fmt::Debug::fmt(&domain, f),
        }
    }
}

impl Frame {
    /// An entry for a frame that nobody knows: all zero.
    #[must_use]
    pub fn new() -> Self {
        Self {
            refs: AtomicU64::new(0),
            typ: AtomicU64::new(0),
            owner: AtomicU32::new(0),
            prev: AtomicU32::new(0),
            next: AtomicU32::new(0),
            aux: AtomicU32::new(0),
        }
    }

    /// The owner; for a free or held frame the last one. Only stable while a reference is held.
    #[inline]
    #[must_use]
    pub fn owner(&self) -> Owner {
        Owner(self.owner.load(Ordering::Acquire))
    }

    /// The general reference count; 0 for a frame that is not allocated. A snapshot.
    #[inline]
    #[must_use]
    pub fn reference_count(&self) -> u64 {
        self.refs.load(Ordering::Acquire) & refs::COUNT
    }
}

impl Default for Frame {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(not(loom))]
const _: () = assert!(core::mem::size_of::<Frame>() == 32);

/// The entries of all frames, indexed by machine frame number. A plain view that is passed by value.
#[derive(Clone, Copy)]
pub struct FrameTable<'t> {
    frames: &'t [Frame],
}

impl<'t> FrameTable<'t> {
    /// Frames that the table can describe at most: list links are 32 bits wide.
    pub const MAX_FRAMES: usize = 1 << 32;

    /// A table over `frames`, whose first element describes frame 0. Elements past
    /// [`Self::MAX_FRAMES`] are left unused.
    #[must_use]
    pub fn new(frames: &'t [Frame]) -> Self {
        let len = frames.len().min(Self::MAX_FRAMES);
        Self {
            frames: frames.get(..len).unwrap_or(&[]),
        }
    }

    /// The entry of `mfn`, which a guest may have chosen; none past the end of memory.
    #[inline]
    #[must_use]
    pub fn get(self, mfn: Mfn) -> Option<&'t Frame> {
        element(self.frames, usize::try_from(mfn.0).ok()?)
    }

    /// One more than the largest frame number that has an entry.
    #[inline]
    #[must_use]
    pub fn end(self) -> Mfn {
        Mfn(self.frames.len() as u64)
    }

    #[inline]
    pub(super) fn at(self, index: u32) -> Option<&'t Frame> {
        self.frames.get(index as usize)
    }
}
