//! From a guest's virtual address to the L1 entry that maps it, by the guest's own tables.

#![forbid(unsafe_code)]

use super::error::MmError;
use super::lock::PtLock;
use super::platform::{Platform, Slot};
use super::pte;
use super::reference::Mm;
use super::typ::Level;
use crate::speculation;
use guest_abi::ids::{Mfn, Vaddr};

/// Where the L1 entry of an address is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct L1Place {
    /// The L1 table.
    pub table: Mfn,
    /// Its entry.
    pub slot: Slot,
}

/// The slot of `address` in a table of `level`.
#[inline]
#[must_use]
pub const fn slot_of(address: Vaddr, level: Level) -> Slot {
    // Slots are numbered by machine addresses of 8-byte entries, hence the 3.
    Slot::of_address(address.0 >> (12 + 9 * (level as u32 - 1)) << 3)
}

impl<P: Platform> Mm<'_, P> {
    /// Walks from `root`, the root of a vCPU of the lock's domain, to the L1 table for `address`.
    ///
    /// # Errors
    /// [`MmError::NotMapped`]; [`MmError::HypervisorSlot`]; [`MmError::NotATable`] if `root` is none.
    #[inline]
    pub fn walk(&self, lock: &PtLock<'_>, root: Mfn, address: Vaddr) -> Result<L1Place, MmError> {
        self.held_table(lock, root, Level::L4)?;
        let mut table = root;
        for level in [Level::L4, Level::L3, Level::L2] {
            let slot = slot_of(address, level);
            if pte::is_hypervisor_slot(level, slot) {
                return Err(MmError::HypervisorSlot);
            }
            let entry = self.platform.read(table, slot);
            if !pte::is_present(entry) {
                return Err(MmError::NotMapped);
            }
            // In force, so what a present entry refers to is a table of the level below. One that is not present holds
            // what the guest likes, and is none on a guessed path either.
            table = pte::mfn(speculation::value_if(pte::is_present(entry), entry));
        }
        Ok(L1Place {
            table,
            slot: slot_of(address, Level::L1),
        })
    }

    /// Whether the tables on the way from `root` to the L1 entry of `address` allow writes, as [`Self::walk`] walks.
    /// (An entry that does is not enough: the processor wants the right at each level.)
    ///
    /// # Errors
    /// As for [`Self::walk`].
    pub fn is_way_writable(
        &self,
        lock: &PtLock<'_>,
        root: Mfn,
        address: Vaddr,
    ) -> Result<bool, MmError> {
        self.walk(lock, root, address)?;
        let mut table = root;
        for level in [Level::L4, Level::L3, Level::L2] {
            let entry = self.platform.read(table, slot_of(address, level));
            if !pte::is_writable(entry) {
                return Ok(false);
            }
            table = pte::mfn(entry);
        }
        Ok(true)
    }

    /// Entry `slot` of `table`.
    ///
    /// # Errors
    /// [`MmError::NotATable`] or [`MmError::WrongOwner`] if `table` is no L1 table of the lock's domain in
    /// force.
    #[inline]
    pub fn l1_entry(&self, lock: &PtLock<'_>, table: Mfn, slot: Slot) -> Result<u64, MmError> {
        self.own_table(lock, table, Level::L1)?;
        Ok(self.platform.read(table, slot))
    }

    /// The entry for `address`, as [`Self::walk`] walks.
    ///
    /// # Errors
    /// As for [`Self::walk`].
    pub fn entry_for(&self, lock: &PtLock<'_>, root: Mfn, address: Vaddr) -> Result<u64, MmError> {
        let place = self.walk(lock, root, address)?;
        Ok(self.platform.read(place.table, place.slot))
    }

    /// Whether `mfn`, to which an entry in force refers, is an L1 table of the lock's domain in force.
    #[inline]
    #[must_use]
    pub fn is_l1_table(&self, lock: &PtLock<'_>, mfn: Mfn) -> bool {
        self.held_table(lock, mfn, Level::L1).is_ok()
    }

    /// The frame that `address` is mapped to from `root`, as [`Self::walk`] walks.
    ///
    /// # Errors
    /// As for [`Self::walk`]; [`MmError::NotMapped`].
    pub fn mapped_frame(
        &self,
        lock: &PtLock<'_>,
        root: Mfn,
        address: Vaddr,
    ) -> Result<Mfn, MmError> {
        let entry = self.entry_for(lock, root, address)?;
        if pte::is_present(entry) {
            Ok(pte::mfn(entry))
        } else {
            Err(MmError::NotMapped)
        }
    }
}
