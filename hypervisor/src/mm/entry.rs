//! What a page-table entry refers to: taking and dropping the references that a present entry holds.
//!
//! An L1 entry holds a general reference on its frame, and a writable one if it allows writes; none if
//! the frame is device memory. An entry of another level holds a general reference on the table below
//! and a type reference of that table's level.

#![forbid(unsafe_code)]

use super::error::{MmError, Stop};
use super::frame::{Frame, refs};
use super::lock::PtLock;
use super::platform::{Device, Platform};
use super::pte;
use super::reference::Mm;
use super::typ::Level;
use crate::sync::atomic::Ordering;
use guest_abi::ids::{DomId, Mfn};

impl<'m, P: Platform> Mm<'m, P> {
    /// Takes the references of the L1 entry `entry` (present, checked and adjusted) in a table of the
    /// lock's domain, for a frame of `frame_owner`. Returns the entry as it has to be written.
    #[inline]
    pub(super) fn get_l1_target(
        &self,
        lock: &PtLock<'_>,
        frame_owner: DomId,
        entry: u64,
    ) -> Result<u64, MmError> {
        let mfn = pte::mfn(entry);
        let frame = match self.get_ref(mfn, frame_owner) {
            Ok(frame) => frame,
            Err(MmError::TooManyReferences) => return Err(MmError::TooManyReferences),
            Err(_) => return self.get_device(lock, frame_owner, entry),
        };
        if entry & pte::CACHE_ATTRIBUTES != 0
            && frame.refs.load(Ordering::Relaxed) & refs::SHARED != 0
        {
            self.put_ref(mfn, frame);
            return Err(MmError::SharedCacheAttributes);
        }
        if pte::is_writable(entry)
            && let Err(error) = self.get_writable(frame, frame_owner, lock.domain())
        {
            self.put_ref(mfn, frame);
            return Err(error);
        }
        Ok(entry)
    }

    /// The rules for frames that are not (accessible) memory.
    #[cold]
    fn get_device(
        &self,
        lock: &PtLock<'_>,
        frame_owner: DomId,
        entry: u64,
    ) -> Result<u64, MmError> {
        let mfn = pte::mfn(entry);
        let domain = lock.domain();
        let mut device = self.platform.device(domain, mfn);
        if frame_owner != domain && frame_owner != DomId::IO {
            // On behalf of another domain: both need the right.
            device = match (device, self.platform.device(frame_owner, mfn)) {
                (Device::Allowed, other) => other,
                (Device::ReadOnly, Device::Allowed | Device::ReadOnly) => Device::ReadOnly,
                (Device::ReadOnly, other) => other,
                (device, _) => device,
            };
        }
        match device {
            Device::None if mfn == pte::NO_FRAME => Err(MmError::BadFrame),
            // No memory at all: like a device that nobody may have.
            Device::None if self.table.get(mfn).is_none() => Err(MmError::NoIoRights),
            Device::None => Err(MmError::WrongOwner),
            Device::Forbidden => Err(MmError::NoIoRights),
            Device::ReadOnly => Ok(pte::device_attributes(entry) & !pte::WRITABLE),
            Device::Allowed => Ok(pte::device_attributes(entry)),
        }
    }

    /// Drops the references of an L1 entry that is no longer in its table.
    #[inline]
    pub(super) fn put_l1_target(&self, entry: u64) {
        if !pte::is_present(entry) {
            return;
        }
        let mfn = pte::mfn(entry);
        if let Some(frame) = self.memory(mfn) {
            if pte::is_writable(entry) {
                self.put_writable(frame);
            }
            self.put_ref(mfn, frame);
        }
    }

    /// The entry of `mfn`, which a live page-table entry refers to; none if it is device memory.
    #[inline]
    pub(super) fn memory(&self, mfn: Mfn) -> Option<&'m Frame> {
        // Device memory never has references, and memory that an entry refers to always has.
        self.table
            .get(mfn)
            .filter(|frame| frame.reference_count() != 0)
    }

    /// Takes the references of `entry` (present, checked) in a table above L1, for a table of level
    /// `below`.
    pub(super) fn get_table_target(
        &self,
        lock: &mut PtLock<'_>,
        entry: u64,
        below: Level,
    ) -> Result<(), Stop> {
        let mfn = pte::mfn(entry);
        let frame = self
            .get_ref(mfn, lock.domain())
            .map_err(MmError::for_table)?;
        if let Err(stop) = self.get_table(lock, mfn, frame, below) {
            self.put_ref(mfn, frame);
            return Err(stop);
        }
        Ok(())
    }

    /// Drops the references of an entry that was in a table above L1.
    ///
    /// # Errors
    /// [`Stop::Preempted`]: nothing was dropped yet, call again.
    pub(super) fn put_table_target(
        &self,
        lock: &mut PtLock<'_>,
        entry: u64,
        below: Level,
    ) -> Result<(), Stop> {
        let mfn = pte::mfn(entry);
        if let Some(frame) = self.table.get(mfn) {
            self.put_table(lock, mfn, frame, below)?;
            self.put_ref(mfn, frame);
        }
        Ok(())
    }
}
