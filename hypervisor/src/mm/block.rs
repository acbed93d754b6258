//! Blocks of frames on their way from the allocator to an owner, as values: an unclean block has to be
//! cleaned before anyone can have its frames.

#![forbid(unsafe_code)]

use super::buddy::Order;
use super::frame::{Frame, FrameTable, Owner, refs};
use super::tlb::{FlushStamp, Suspects, Tlb};
use super::typ::TypeWord;
use crate::sync::atomic::Ordering;
use guest_abi::ids::{DomId, Mfn};

/// Zeroes the contents of frames.
pub trait Scrub {
    /// Fills frame `mfn` with zeroes.
    fn scrub(&self, mfn: Mfn);
}

/// How a domain may map a frame that the hypervisor shares with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SharedAccess {
    /// Never for writing.
    ReadOnly,
    /// As it likes.
    ReadWrite,
}

/// A block just taken from the allocator: unusable until [cleaned](Self::clean). Dropping it leaks the
/// memory.
#[must_use = "the block is lost unless it is cleaned and used, or given back"]
#[derive(Debug)]
pub struct UncleanBlock {
    pub(super) head: u32,
    pub(super) order: Order,
}

/// A block in state *held* whose frames are zero and unknown to every translation buffer.
#[must_use = "the block is lost unless it is used or given back"]
#[derive(Debug)]
pub struct CleanBlock {
    pub(super) head: u32,
    pub(super) order: Order,
}

fn share(frame: &Frame, owner: DomId, access: SharedAccess) {
    let word = match access {
        SharedAccess::ReadOnly => TypeWord::SHARED_READ_ONLY,
        SharedAccess::ReadWrite => TypeWord::SHARED_WRITABLE,
    };
    frame.aux.store(0, Ordering::Relaxed);
    frame.owner.store(Owner::of(owner).raw(), Ordering::Relaxed);
    word.store(frame);
    frame
        .refs
        .store(refs::SHARED | refs::ALLOCATED | 1, Ordering::Release);
}

/// As [`CleanBlock::share_with`], for a frame that the allocator never hears of. Boot time.
pub fn share_boot_frame(table: FrameTable<'_>, mfn: Mfn, owner: DomId, access: SharedAccess) {
    if let Some(frame) = table.get(mfn) {
        debug_assert!(frame.refs.load(Ordering::Relaxed) == 0, "{mfn} is in use");
        share(frame, owner, access);
    }
}

/// As [`CleanBlock::give_to`], for a frame that the allocator was never given and whose content is meant for
/// `owner`. Boot time.
pub(super) fn give_boot_frame(frame: &Frame, owner: DomId) {
    debug_assert!(
        frame.refs.load(Ordering::Relaxed) == 0,
        "a boot frame is in use"
    );
    frame.give(owner);
}

impl Frame {
    /// One general reference, the allocation's, for its new owner. From here on others may take references.
    fn give(&self, owner: DomId) {
        self.aux.store(0, Ordering::Relaxed);
        self.owner.store(Owner::of(owner).raw(), Ordering::Relaxed);
        self.refs.store(refs::ALLOCATED | 1, Ordering::Release);
    }
}

macro_rules! block_accessors {
    ($($block:ident),*) => { $(
        impl $block {
            /// The first frame.
            #[must_use]
            pub const fn mfn(&self) -> Mfn {
                Mfn(self.head as u64)
            }

            /// The size.
            #[must_use]
            pub const fn order(&self) -> Order {
                self.order
            }

            /// The entries of all its frames.
            fn entries<'t>(&self, table: FrameTable<'t>) -> impl Iterator<Item = (Mfn, &'t Frame)> + use<'t> {
                let range = self.head..=self.head + (self.order.frames() - 1);
                range.filter_map(move |index| Some((Mfn(u64::from(index)), table.at(index)?)))
            }
        }
    )* };
}
block_accessors!(UncleanBlock, CleanBlock);

impl UncleanBlock {
    /// Makes every frame of the block clean: flushes translations of former owners that are still owed
    /// a flush, and zeroes what is not zero already. No lock is needed.
    pub fn clean(self, table: FrameTable<'_>, tlb: &impl Tlb, scrub: &impl Scrub) -> CleanBlock {
        self.flush(table, tlb);
        for (mfn, frame) in self.entries(table) {
            if frame.refs.load(Ordering::Relaxed) & refs::CLEAN == 0 {
                scrub.scrub(mfn);
            }
            frame.owner.store(Owner::NONE.raw(), Ordering::Relaxed);
            frame.typ.store(0, Ordering::Relaxed);
            frame
                .refs
                .store(refs::HELD | refs::CLEAN, Ordering::Release);
        }
        CleanBlock {
            head: self.head,
            order: self.order,
        }
    }

    /// Gives every frame to `owner`, as [`CleanBlock::give_to`], without zeroing those that no domain has owned since the
    /// hypervisor started. Only for a domain that may look into every frame of the machine anyway: what is in such a frame
    /// was there before us.
    #[must_use]
    pub(super) fn give_first(
        self,
        table: FrameTable<'_>,
        machine: &(impl Tlb + Scrub),
        owner: DomId,
    ) -> Mfn {
        self.flush(table, machine);
        for (mfn, frame) in self.entries(table) {
            if frame.owner() != Owner::NONE && frame.refs.load(Ordering::Relaxed) & refs::CLEAN == 0
            {
                machine.scrub(mfn);
            }
            frame.typ.store(0, Ordering::Relaxed);
            frame.give(owner);
        }
        self.mfn()
    }

    /// Keeps the block for the hypervisor itself, as [`CleanBlock::keep`], with whatever bytes are in it: for memory
    /// that is written before it is read.
    #[must_use]
    pub fn keep(self, table: FrameTable<'_>, tlb: &impl Tlb) -> Mfn {
        self.flush(table, tlb);
        for (_, frame) in self.entries(table) {
            frame.owner.store(Owner::NONE.raw(), Ordering::Relaxed);
            frame.typ.store(0, Ordering::Relaxed);
            frame.refs.store(refs::HELD, Ordering::Release);
        }
        self.mfn()
    }

    /// Flushes translations of former owners that are still owed a flush.
    fn flush(&self, table: FrameTable<'_>, tlb: &impl Tlb) {
        // Stamps may be older than half the clock's range: which of two is the later is told by their ages.
        let now = tlb.stamp();
        let mut newest: Option<FlushStamp> = None;
        for (_, frame) in self.entries(table) {
            if frame.owner() != Owner::NONE {
                let stamp = TypeWord::load(frame).stamp();
                newest = Some(newest.map_or(stamp, |newest| newest.later(stamp, now)));
            }
        }
        if let Some(stamp) = newest {
            // Frames of several owners, and grant mappings by others: all processors are suspects, and
            // the stamp filters those that have flushed since.
            tlb.flush_since(Suspects::Everyone, stamp);
        }
    }
}

impl CleanBlock {
    /// Keeps the block for the hypervisor itself: its frames stay in state *held* until they are given to
    /// [`Buddy::free`](super::buddy::Buddy::free), whole or in parts.
    #[must_use]
    pub fn keep(self, table: FrameTable<'_>) -> Mfn {
        for (_, frame) in self.entries(table) {
            frame.refs.store(refs::HELD, Ordering::Release);
        }
        self.mfn()
    }

    /// The block, which nobody has used, to be given to [`Buddy::free`](super::buddy::Buddy::free). It stays
    /// clean.
    #[must_use]
    pub const fn unused(self) -> (Mfn, Order) {
        (self.mfn(), self.order)
    }

    /// Gives every frame to `owner`: one general reference each, the allocation's, and no type. From here
    /// on others may take references.
    #[must_use]
    pub fn give_to(self, table: FrameTable<'_>, owner: DomId) -> Mfn {
        for (_, frame) in self.entries(table) {
            frame.give(owner);
        }
        self.mfn()
    }

    /// Shares every frame with `owner`, who may map but never retype or give back them. They are the
    /// hypervisor's, which holds one reference on each until `Mm::unshare`.
    #[must_use]
    pub fn share_with(self, table: FrameTable<'_>, owner: DomId, access: SharedAccess) -> Mfn {
        for (_, frame) in self.entries(table) {
            share(frame, owner, access);
        }
        self.mfn()
    }
}
