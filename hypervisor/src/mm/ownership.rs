//! A domain's memory: the list of its frames, taking frames away from it, and taking everything away
//! from it at its end.

#![forbid(unsafe_code)]

use super::block::{CleanBlock, Scrub, UncleanBlock, give_boot_frame};
use super::buddy::Order;
use super::error::{MmError, Stop};
use super::frame::{Frame, FrameTable, refs};
use super::frame_list::FrameList;
use super::held::HeldFrame;
use super::lock::PtLock;
use super::platform::Platform;
use super::reference::Mm;
use super::tlb::Tlb;
use super::typ::TypeWord;
use crate::sync::atomic::Ordering;
use guest_abi::ids::{DomId, Mfn};

/// The frames of one domain. The domain keeps it inside a lock of rank
/// [`DOMAIN_FRAMES`](crate::sync::rank::DOMAIN_FRAMES). Frames that the hypervisor shares with the
/// domain are not in it.
#[derive(Debug, Default)]
pub struct DomainFrames {
    /// Frames with the allocation's reference.
    owned: FrameList,
    /// Frames that the domain has given up, or that were taken from it when it died, and that wait for
    /// others to drop their references.
    zombies: FrameList,
    /// Frames of the domain that an exchange has freed and not yet replaced: their places are kept for the
    /// new ones.
    places: u32,
}

/// Short access to a domain's [`DomainFrames`] under their lock.
pub trait FramesLock {
    /// Calls `action` with the lock held.
    fn with_frames<R>(&self, action: impl FnOnce(&mut DomainFrames) -> R) -> R;
}

impl DomainFrames {
    /// No frames.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            owned: FrameList::new(),
            zombies: FrameList::new(),
            places: 0,
        }
    }

    /// Frames that belong to the domain: those in its list, given up ones that others still reference, and
    /// those that come in place of others.
    #[must_use]
    pub const fn total(&self) -> u32 {
        self.owned.len() + self.zombies.len() + self.places
    }

    /// Places that are [kept](Self::vacate) for frames to come.
    #[must_use]
    pub const fn places(&self) -> u32 {
        self.places
    }

    /// Frames that the domain's end has to wait for.
    #[must_use]
    pub const fn zombies(&self) -> u32 {
        self.zombies.len()
    }

    /// Gives every frame of `block` to `domain`, whose list this is. Returns the first frame.
    pub fn adopt(&mut self, table: FrameTable<'_>, block: CleanBlock, domain: DomId) -> Mfn {
        let order = block.order();
        let first = block.give_to(table, domain);
        self.list(table, first, order);
        first
    }

    /// As [`adopt`](Self::adopt), for the first domain while it is built: frames that no domain has owned since the
    /// hypervisor started have whatever is in them.
    pub fn adopt_first(
        &mut self,
        table: FrameTable<'_>,
        machine: &(impl Tlb + Scrub),
        block: UncleanBlock,
        domain: DomId,
    ) -> Mfn {
        let order = block.order();
        let first = block.give_first(table, machine, domain);
        self.list(table, first, order);
        first
    }

    fn list(&mut self, table: FrameTable<'_>, first: Mfn, order: Order) {
        for mfn in first.0..first.0.saturating_add(u64::from(order.frames())) {
            self.owned.push(table, Mfn(mfn));
        }
    }

    /// Gives `domain`, whose list this is, the `count` frames from `first` on, which the boot loader has filled
    /// for it and of which the allocator was never told.
    pub fn adopt_boot_frames(
        &mut self,
        table: FrameTable<'_>,
        first: Mfn,
        count: u64,
        domain: DomId,
    ) {
        for mfn in first.0..first.0.saturating_add(count) {
            if let Some(frame) = table.get(Mfn(mfn)) {
                give_boot_frame(frame, domain);
                self.owned.push(table, Mfn(mfn));
            }
        }
    }

    /// Takes a frame out of the list that is about to be freed, and keeps its place for another.
    pub fn vacate(&mut self, table: FrameTable<'_>, frame: &mut HeldFrame) {
        if frame.is_listed() {
            self.forget(table, frame);
            frame.unlist();
            self.places = self.places.saturating_add(1);
        }
    }

    /// As [`Self::adopt`], into places that are [kept](Self::vacate).
    pub fn replace(&mut self, table: FrameTable<'_>, block: CleanBlock, domain: DomId) -> Mfn {
        debug_assert!(self.places >= block.order().frames());
        self.places = self.places.saturating_sub(block.order().frames());
        self.adopt(table, block, domain)
    }

    /// Takes a frame out of the list that is about to be freed.
    pub fn forget(&mut self, table: FrameTable<'_>, frame: &HeldFrame) {
        if !frame.is_listed() {
            return;
        }
        let list = if frame.was_allocated() {
            &mut self.owned
        } else {
            &mut self.zombies
        };
        list.remove(table, frame.mfn());
    }

    /// The frames of the domain, newest first, without the zombies. For the saver of a domain.
    pub fn iter<'f>(&'f self, table: FrameTable<'f>) -> impl Iterator<Item = Mfn> + 'f {
        core::iter::successors(self.owned.first(), move |&mfn| self.owned.after(table, mfn))
    }
}

impl<P: Platform> Mm<'_, P> {
    /// Takes `mfn` away from `owner`, which must have given up all other uses of it: the one reference
    /// left is the allocation's. Giving memory back and exchanging it begin with this. The frame is
    /// still in the owner's list.
    ///
    /// # Errors
    /// [`MmError::InUse`]; [`MmError::BadFrame`] or [`MmError::WrongOwner`].
    pub fn steal(&self, mfn: Mfn, owner: DomId) -> Result<HeldFrame, MmError> {
        const ONLY_OURS: u64 = refs::ALLOCATED | 2;
        let frame = self.get_ref(mfn, owner)?;
        // With our own reference the owner can't change under us.
        match frame.refs.compare_exchange(
            ONLY_OURS,
            refs::HELD,
            Ordering::AcqRel,
            Ordering::Relaxed,
        ) {
            Ok(was) => Ok(HeldFrame::new(mfn, frame, was, self.platform)),
            Err(_) => {
                self.put_ref(mfn, frame);
                Err(MmError::InUse)
            }
        }
    }

    /// Takes `mfn` away from `owner` and frees it.
    ///
    /// # Errors
    /// As for [`Self::steal`].
    pub fn give_back(&self, mfn: Mfn, owner: DomId) -> Result<(), MmError> {
        self.steal(mfn, owner)
            .map(|frame| self.platform.release(frame))
    }

    /// Gives `mfn` up, memory of the lock's domain that it does not want any more. Whoever still refers to
    /// it, the domain itself included, keeps it alive, and it counts as the domain's, until they let go;
    /// but it can't come into force as a table again.
    ///
    /// # Errors
    /// [`Stop::Preempted`]: call again. [`MmError::WrongOwner`] if it is not the domain's to give, or given
    /// up already; [`MmError::BadFrame`].
    pub fn give_up(
        &self,
        lock: &mut PtLock<'_>,
        mfn: Mfn,
        frames: &impl FramesLock,
    ) -> Result<(), Stop> {
        self.finish_pending(lock)?;
        let frame = self.get_ref(mfn, lock.domain())?;
        let state = frame.refs.load(Ordering::Relaxed);
        let result = if state & (refs::ALLOCATED | refs::SHARED) == refs::ALLOCATED {
            self.let_go(lock, mfn, frame, frames)
        } else {
            Err(MmError::WrongOwner.into())
        };
        self.put_ref(mfn, frame);
        result
    }

    /// Undoes the pin or residue of an allocated frame and drops the allocation's reference. The caller
    /// holds another one.
    fn let_go(
        &self,
        lock: &mut PtLock<'_>,
        mfn: Mfn,
        frame: &Frame,
        frames: &impl FramesLock,
    ) -> Result<(), Stop> {
        if TypeWord::load(frame).is_pinned() {
            self.unpin(lock, mfn)?;
        } else {
            self.dissolve_stopped(lock, mfn, frame)?;
        }
        frames.with_frames(|frames| {
            let was = frame.refs.fetch_and(!refs::ALLOCATED, Ordering::AcqRel);
            debug_assert!(was & refs::ALLOCATED != 0);
            frames.owned.remove(self.table, mfn);
            frames.zombies.push(self.table, mfn);
        });
        self.put_ref(mfn, frame);
        Ok(())
    }

    /// Whether a frame, on which the caller holds a reference, was given up by its owner.
    #[inline]
    pub(super) fn is_given_up(frame: &Frame) -> bool {
        frame.refs.load(Ordering::Relaxed) & refs::ALLOCATED == 0
    }

    /// Drops the hypervisor's references on a frame that it shares with `owner` for writing. It is
    /// freed when the owner has dropped its own.
    pub fn unshare(&self, mfn: Mfn) {
        let Some(frame) = self.table.get(mfn) else {
            return;
        };
        let was = frame.refs.fetch_and(!refs::ALLOCATED, Ordering::AcqRel);
        debug_assert!(
            was & refs::SHARED != 0 && was & refs::ALLOCATED != 0,
            "{mfn} is not shared"
        );
        self.put_writable(frame);
        self.put_ref(mfn, frame);
    }

    /// Takes all frames from the lock's domain, which is at its end: nothing of it runs, its roots are
    /// put, and nobody gives it frames any more. Pins and residues are undone; tables go out of force
    /// as nothing holds them; frames that others still reference stay as zombies until those let go.
    ///
    /// # Errors
    /// [`Stop::Preempted`]: call again.
    pub fn relinquish(&self, lock: &mut PtLock<'_>, frames: &impl FramesLock) -> Result<(), Stop> {
        self.finish_pending(lock)?;
        // One look: who exchanges frames puts one into the place that is kept for it between two.
        let next = || frames.with_frames(|frames| (frames.owned.first(), frames.places));
        loop {
            let mfn = match next() {
                (Some(mfn), _) => mfn,
                (None, 0) => return Ok(()),
                // They are on their way to it.
                (None, _) => return Err(Stop::Preempted),
            };
            let Ok(frame) = self.get_ref(mfn, lock.domain()) else {
                // Somebody is just taking it away.
                return Err(Stop::Preempted);
            };
            let result = self.let_go(lock, mfn, frame, frames);
            self.put_ref(mfn, frame);
            result?;
            if self.platform.should_yield() {
                return Err(Stop::Preempted);
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
#[path = "give_up_tests.rs"]
mod tests;
