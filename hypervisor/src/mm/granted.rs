//! What grants need of frames and of page-table entries: references on frames of others, and entries that
//! take over a reference of the caller's or give theirs to it.
//!
//! A granted frame is no longer looked up by its owner when its entry is made: whoever holds the reference
//! has done that. From then on the entry is one like any other.

#![forbid(unsafe_code)]

use super::error::MmError;
use super::frame::refs;
use super::lock::PtLock;
use super::platform::{Platform, Slot};
use super::pte;
use super::reference::{FrameRef, Mm, WritableRef};
use super::typ::Level;
use super::walk::L1Place;
use crate::sync::atomic::Ordering;
use guest_abi::ids::{DomId, Mfn};

/// The bits of an entry that say which references it holds.
const REFERENCE: u64 = pte::PRESENT | pte::WRITABLE | pte::FRAME;

/// Where the L1 entry at a machine address is, a multiple of 8.
#[must_use]
pub const fn place_at(address: u64) -> L1Place {
    L1Place {
        table: Mfn::of_address(address),
        slot: Slot::of_address(address),
    }
}

impl<P: Platform> Mm<'_, P> {
    /// Takes a reference on `mfn`, memory of `owner` that it may give to others: not what the hypervisor
    /// shares with it.
    ///
    /// # Errors
    /// As for [`Self::get_frame`].
    pub fn get_grantable(&self, mfn: Mfn, owner: DomId) -> Result<FrameRef, MmError> {
        let frame = self.get_ref(mfn, owner)?;
        if frame.refs.load(Ordering::Relaxed) & refs::SHARED != 0 {
            self.put_ref(mfn, frame);
            return Err(MmError::WrongOwner);
        }
        Ok(FrameRef::recall(mfn))
    }

    /// As [`Self::get_grantable`], for `user` to write to it.
    ///
    /// # Errors
    /// As for [`Self::get_writable_frame`].
    pub fn get_grantable_for_writing(
        &self,
        mfn: Mfn,
        owner: DomId,
        user: DomId,
    ) -> Result<WritableRef, MmError> {
        let reference = self.get_grantable(mfn, owner)?;
        let writable = self.get_writable_frame(mfn, owner, user);
        self.put_frame(reference);
        writable
    }

    /// Makes the entry at `place` the one given, which is present and for which the caller holds the
    /// references: they are the entry's from now on. What was there before is dropped.
    ///
    /// # Errors
    /// [`MmError::NotATable`] or [`MmError::WrongOwner`] if the place is not in an L1 table of the lock's
    /// domain in force, [`MmError::BadFlags`]; the references are still the caller's.
    pub fn install_granted(
        &self,
        lock: &mut PtLock<'_>,
        place: L1Place,
        entry: u64,
    ) -> Result<(), MmError> {
        self.own_table(lock, place.table, Level::L1)?;
        lock.policy().check(Level::L1, entry)?;
        let old = self.platform.read(place.table, place.slot);
        let new = pte::adjusted(Level::L1, entry);
        self.platform.write(place.table, place.slot, new);
        self.put_l1_target(old);
        Ok(())
    }

    /// If the entry at `place` holds the references that `wanted` would hold, clears it and gives them to
    /// the caller.
    ///
    /// # Errors
    /// [`MmError::NotMapped`], nothing was changed: it holds others, or none. Those of a place as for
    /// [`Self::install_granted`].
    pub fn take_granted(
        &self,
        lock: &mut PtLock<'_>,
        place: L1Place,
        wanted: u64,
    ) -> Result<(), MmError> {
        self.check_granted(lock, place, wanted)?;
        self.exchange_entry(place, 0);
        Ok(())
    }

    /// As [`Self::take_granted`], but the entry at `source` moves to `place`, with what it holds.
    ///
    /// # Errors
    /// As for [`Self::take_granted`].
    pub fn replace_granted(
        &self,
        lock: &mut PtLock<'_>,
        place: L1Place,
        wanted: u64,
        source: L1Place,
    ) -> Result<(), MmError> {
        self.own_table(lock, source.table, Level::L1)?;
        self.check_granted(lock, place, wanted)?;
        // The source first: if it is the place itself, that ends up empty, and has given its references.
        let moved = self.exchange_entry(source, 0);
        if source != place {
            self.exchange_entry(place, moved);
        }
        Ok(())
    }

    fn check_granted(&self, lock: &PtLock<'_>, place: L1Place, wanted: u64) -> Result<(), MmError> {
        self.own_table(lock, place.table, Level::L1)?;
        let entry = self.platform.read(place.table, place.slot);
        if pte::is_present(entry) && (entry ^ wanted) & REFERENCE == 0 {
            Ok(())
        } else {
            Err(MmError::NotMapped)
        }
    }

    /// Replaces an entry and returns the old one with what the processors have set in it to the last.
    fn exchange_entry(&self, place: L1Place, new: u64) -> u64 {
        let mut old = self.platform.read(place.table, place.slot);
        while let Err(changed) = self
            .platform
            .compare_exchange(place.table, place.slot, old, new)
        {
            old = changed;
        }
        old
    }
}

#[cfg(all(test, not(loom)))]
#[path = "granted_tests.rs"]
mod tests;
