//! Changing one entry of a table in force: references of the new entry first, then the entry, then
//! those of the old one.

#![forbid(unsafe_code)]

use super::error::{MmError, Stop};
use super::lock::PtLock;
use super::platform::{Platform, Slot};
use super::pte;
use super::reference::Mm;
use super::typ::{Level, TypeWord};
use super::walk::L1Place;
use crate::speculation;
use guest_abi::ids::{DomId, Mfn, Vaddr};

/// What becomes of the accessed and dirty bits that the processor has set in the old entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AccessedDirty {
    /// They are replaced with the rest.
    Replace,
    /// They stay set in the new entry.
    Preserve,
}

/// What the processors that run the domain have to be told after an update, before the guest goes on.
#[must_use = "translation buffers and copies of roots may be stale until this is done"]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Owed {
    /// Translations and paging-structure caches of the domain's processors are to be flushed.
    pub is_flush: bool,
    /// Copies of roots, where the machine uses copies, are to be renewed.
    pub is_roots: bool,
}

impl Owed {
    /// Nothing: changes of L1 entries are flushed when the guest asks for it.
    pub const NOTHING: Self = Self {
        is_flush: false,
        is_roots: false,
    };

    /// Both.
    pub const fn and(self, other: Self) -> Self {
        Self {
            is_flush: self.is_flush | other.is_flush,
            is_roots: self.is_roots | other.is_roots,
        }
    }
}

impl<P: Platform> Mm<'_, P> {
    /// Changes entry `slot` of `table`, an L1 table of the lock's domain in force. The new entry may
    /// map frames of `frame_owner`, device memory included.
    ///
    /// # Errors
    /// [`Stop::Preempted`]: nothing has changed, call again. Otherwise what is wrong with the entry.
    #[inline]
    pub fn update_l1(
        &self,
        lock: &mut PtLock<'_>,
        table: Mfn,
        slot: Slot,
        new: u64,
        accessed_dirty: AccessedDirty,
        frame_owner: DomId,
    ) -> Result<(), Stop> {
        self.finish_pending(lock)?;
        self.own_table(lock, table, Level::L1)?;
        self.update_l1_in_force(lock, table, slot, new, accessed_dirty, frame_owner)
    }

    /// [`Self::update_l1`] on the entry for `address`, as [`Self::walk`] walks from `root`.
    ///
    /// # Errors
    /// As for [`Self::update_l1`]; [`MmError::BadFrame`] if there is no such entry.
    #[inline]
    pub fn update_mapping(
        &self,
        lock: &mut PtLock<'_>,
        (root, address): (Mfn, Vaddr),
        new: u64,
        accessed_dirty: AccessedDirty,
        frame_owner: DomId,
    ) -> Result<(), Stop> {
        // First: what it drops may be on the way.
        self.finish_pending(lock)?;
        let L1Place { table, slot } = self
            .walk(lock, root, address)
            .map_err(|_| MmError::BadFrame)?;
        self.update_l1_in_force(lock, table, slot, new, accessed_dirty, frame_owner)
    }

    /// [`Self::update_l1`] when nothing is pending and the table is known to be in force.
    #[inline]
    fn update_l1_in_force(
        &self,
        lock: &mut PtLock<'_>,
        table: Mfn,
        slot: Slot,
        new: u64,
        accessed_dirty: AccessedDirty,
        frame_owner: DomId,
    ) -> Result<(), Stop> {
        match self.try_update_l1(lock, table, slot, new, accessed_dirty, frame_owner) {
            Err(MmError::Residue) if frame_owner == lock.domain() => {
                self.make_writable(lock, pte::mfn(new))?;
                // Dissolving may have put the table itself out of force: from the start.
                self.own_table(lock, table, Level::L1)?;
                Ok(self.try_update_l1(lock, table, slot, new, accessed_dirty, frame_owner)?)
            }
            result => Ok(result?),
        }
    }

    /// Dissolves the residue that keeps a frame of the lock's domain from being writable.
    #[cold]
    pub(super) fn make_writable(&self, lock: &mut PtLock<'_>, mfn: Mfn) -> Result<(), Stop> {
        let frame = self.get_ref(mfn, lock.domain())?;
        let result = self.dissolve_stopped(lock, mfn, frame);
        self.put_ref(mfn, frame);
        result
    }

    #[inline]
    fn try_update_l1(
        &self,
        lock: &PtLock<'_>,
        table: Mfn,
        slot: Slot,
        new: u64,
        accessed_dirty: AccessedDirty,
        frame_owner: DomId,
    ) -> Result<(), MmError> {
        let old = self.platform.read(table, slot);
        let new = self.get_l1_change(lock, old, new, frame_owner)?;
        self.store_entry(table, slot, new, accessed_dirty);
        self.put_l1_change(old, new);
        Ok(())
    }

    /// Takes the references that the L1 entry `new` needs beyond those that `old` holds. Returns the
    /// entry as it has to be written.
    ///
    /// With [`Self::put_l1_change`] this equals taking all references of the new entry and dropping all
    /// of the old one. Where both reference the same frame, most of that cancels out.
    #[inline]
    pub(super) fn get_l1_change(
        &self,
        lock: &PtLock<'_>,
        old: u64,
        new: u64,
        frame_owner: DomId,
    ) -> Result<u64, MmError> {
        if !pte::is_present(new) {
            return Ok(new);
        }
        lock.policy().check(Level::L1, new)?;
        let new = pte::adjusted(Level::L1, new);
        if pte::differ_only_in(pte::FLAGS_ONLY, old, new) {
            return Ok(new);
        }
        if self.is_change_of_access(old, new, frame_owner) {
            if pte::is_writable(new)
                && let Some(frame) = self.memory(pte::mfn(new))
            {
                self.get_writable(frame, frame_owner, lock.domain())?;
            }
            return Ok(new);
        }
        self.get_l1_target(lock, frame_owner, new)
    }

    /// Drops the references of `old` beyond those that `new`, which has replaced it, holds.
    /// The owner of the frames can't have changed between the two.
    #[inline]
    pub(super) fn put_l1_change(&self, old: u64, new: u64) {
        if pte::differ_only_in(pte::FLAGS_ONLY, old, new) {
            return;
        }
        if pte::differ_only_in(pte::FLAGS_ONLY | pte::WRITABLE, old, new)
            && let Some(frame) = self.memory(pte::mfn(old))
        {
            if pte::is_writable(old) {
                self.put_writable(frame);
            }
            return;
        }
        self.put_l1_target(old);
    }

    /// Whether both entries map the same memory and only the right to write differs.
    #[inline]
    fn is_change_of_access(&self, old: u64, new: u64, frame_owner: DomId) -> bool {
        pte::differ_only_in(pte::FLAGS_ONLY | pte::WRITABLE, old, new)
            && self
                .memory(pte::mfn(new))
                .is_some_and(|frame| frame.owner().is(frame_owner))
    }

    #[inline]
    fn store_entry(&self, table: Mfn, slot: Slot, new: u64, accessed_dirty: AccessedDirty) {
        // The lock keeps everybody out but the processors, which set accessed and dirty bits.
        if accessed_dirty == AccessedDirty::Replace {
            return self.platform.write(table, slot, new);
        }
        let mut old = self.platform.read(table, slot);
        while let Err(changed) = self.platform.compare_exchange(
            table,
            slot,
            old,
            new | old & (pte::ACCESSED | pte::DIRTY),
        ) {
            old = changed;
        }
    }

    /// Changes entry `slot` of `table`, a table of `level` of the lock's domain in force.
    ///
    /// # Errors
    /// [`Stop::Preempted`]: nothing has changed, call again. Otherwise what is wrong with the entry or,
    /// if it is sound by itself, with the tables below it.
    pub fn update_table(
        &self,
        lock: &mut PtLock<'_>,
        level: Level,
        table: Mfn,
        slot: Slot,
        new: u64,
        accessed_dirty: AccessedDirty,
    ) -> Result<Owed, Stop> {
        let Some(below) = level.below() else {
            let domain = lock.domain();
            self.update_l1(lock, table, slot, new, accessed_dirty, domain)?;
            return Ok(Owed::NOTHING);
        };
        self.finish_pending(lock)?;
        if pte::is_hypervisor_slot(level, slot) {
            return Err(MmError::HypervisorSlot.into());
        }
        if pte::is_present(new) {
            self.prepare_table(lock, pte::mfn(new), below)?;
        }
        self.own_table(lock, table, level)?;
        let old = self.platform.read(table, slot);
        let mut new = new;
        let mut is_same_target = false;
        if pte::is_present(new) {
            lock.policy().check(level, new)?;
            new = pte::adjusted(level, new);
            is_same_target = pte::differ_only_in(pte::FLAGS_ONLY | pte::WRITABLE, old, new);
            if !is_same_target && let Err(stop) = self.get_table_target(lock, new, below) {
                return Err(self.clear_up(lock, pte::mfn(new), stop));
            }
        }
        self.store_entry(table, slot, new, accessed_dirty);
        if pte::is_present(old) && !is_same_target {
            self.put_table_soon(lock, pte::mfn(old), below);
        }
        let is_root = level == Level::L4;
        Ok(Owed {
            is_flush: pte::is_present(old),
            is_roots: is_root,
        })
    }

    /// Before `mfn` becomes a table: if it is a frame of the lock's domain and half of something else,
    /// that is dissolved.
    pub(super) fn prepare_table(
        &self,
        lock: &mut PtLock<'_>,
        mfn: Mfn,
        level: Level,
    ) -> Result<(), Stop> {
        match self.own_word(lock, mfn) {
            Ok((frame, word)) if word.is_stopped() => {
                self.make_plain(lock, mfn, frame, level.typ())
            }
            _ => Ok(()),
        }
    }

    /// Stores `value` in entry `slot` of `mfn`, a frame of the lock's domain, whatever the frame is: a
    /// table in force gets a validated entry, a plain frame a number.
    ///
    /// # Errors
    /// [`MmError::Residue`] for a table that is just going out of force.
    #[inline]
    pub fn update_any(
        &self,
        lock: &mut PtLock<'_>,
        mfn: Mfn,
        slot: Slot,
        value: u64,
        accessed_dirty: AccessedDirty,
        frame_owner: DomId,
    ) -> Result<Owed, Stop> {
        self.finish_pending(lock)?;
        let (_, word) = self.own_word(lock, mfn).map_err(|_| MmError::BadFrame)?;
        if word.is_table(Level::L1) {
            speculation::barrier();
            self.update_l1_in_force(lock, mfn, slot, value, accessed_dirty, frame_owner)?;
            return Ok(Owed::NOTHING);
        }
        self.update_other(lock, mfn, slot, value, accessed_dirty, frame_owner, word)
    }

    #[expect(clippy::too_many_arguments, reason = "the cold half of update_any")]
    fn update_other(
        &self,
        lock: &mut PtLock<'_>,
        mfn: Mfn,
        slot: Slot,
        value: u64,
        accessed_dirty: AccessedDirty,
        frame_owner: DomId,
        word: TypeWord,
    ) -> Result<Owed, Stop> {
        if let Some(level) = Self::level_of(word) {
            if frame_owner != lock.domain() {
                // Tables are one's own.
                return Err(MmError::NotATable.into());
            }
            return self.update_table(lock, level, mfn, slot, value, accessed_dirty);
        }
        if word.is_dissolving() {
            return Err(MmError::Residue.into());
        }
        let domain = lock.domain();
        let frame = self.get_ref(mfn, domain).map_err(|_| MmError::BadFrame)?;
        let result = self.write_plain(lock, mfn, slot, value);
        self.put_ref(mfn, frame);
        result.map(|()| Owed::NOTHING)
    }

    fn write_plain(
        &self,
        lock: &mut PtLock<'_>,
        mfn: Mfn,
        slot: Slot,
        value: u64,
    ) -> Result<(), Stop> {
        let domain = lock.domain();
        let Some(frame) = self.table.get(mfn) else {
            return Err(MmError::BadFrame.into());
        };
        self.dissolve_stopped(lock, mfn, frame)?;
        self.get_writable(frame, domain, domain)
            .map_err(MmError::for_table)?;
        self.platform.write(mfn, slot, value);
        self.put_writable(frame);
        Ok(())
    }
}
