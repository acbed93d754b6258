//! A frame that nobody references any more, as a value: the obligation to free it or to give it an owner.

#![forbid(unsafe_code)]

use super::buddy::Order;
use super::frame::{Frame, FrameTable, Owner, refs};
use super::tlb::Tlb;
use super::typ::TypeWord;
use crate::sync::atomic::Ordering;
use guest_abi::ids::{DomId, Mfn};

/// One frame in state *held*, with the last owner's data still in it.
#[must_use = "the frame is lost unless it is freed or given to somebody"]
#[derive(Debug, PartialEq, Eq)]
pub struct HeldFrame {
    mfn: Mfn,
    owner: Owner,
    was: u64,
    is_listed: bool,
}

impl HeldFrame {
    /// Wraps the frame whose `refs` this caller alone has just moved to *held* from `was`.
    pub(super) fn new(mfn: Mfn, frame: &Frame, was: u64, tlb: &impl Tlb) -> Self {
        // No reference is left, so nobody else looks at the type. It stays, for the case that the
        // frame is given back; when it is freed instead, only the stamp counts.
        TypeWord::load(frame).stamped(tlb.stamp()).store(frame);
        Self {
            mfn,
            owner: frame.owner(),
            was,
            is_listed: was & refs::SHARED == 0,
        }
    }

    /// The frame, to be given to the allocator with order [`Order::FRAME`].
    #[must_use]
    pub fn into_mfn(self) -> (Mfn, Order) {
        (self.mfn, Order::FRAME)
    }

    /// The frame.
    #[must_use]
    pub const fn mfn(&self) -> Mfn {
        self.mfn
    }

    /// Who had it.
    #[must_use]
    pub const fn owner(&self) -> Option<DomId> {
        self.owner.domain()
    }

    /// Whether it was the hypervisor's, shared with the owner.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        self.was & refs::SHARED != 0
    }

    /// Whether it is in the owner's list and accounts. One that was the hypervisor's is not.
    #[must_use]
    pub const fn is_listed(&self) -> bool {
        self.is_listed
    }

    /// It has been taken out of the owner's list.
    pub(super) const fn unlist(&mut self) {
        self.is_listed = false;
    }

    /// Whether it was taken from its owner rather than dropped by its last user.
    pub(super) const fn was_allocated(&self) -> bool {
        self.was & refs::ALLOCATED != 0
    }

    /// Gives the frame back to the one it was taken from, contents and type as they were. Only for a
    /// frame that `Mm::steal` has taken and that is still in its owner's list.
    pub fn restore(self, table: FrameTable<'_>) {
        if let Some(frame) = table.get(self.mfn) {
            frame.refs.store(refs::ALLOCATED | 1, Ordering::Release);
        }
    }
}
