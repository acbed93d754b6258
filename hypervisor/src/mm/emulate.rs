//! Stores of a guest kernel into its own live L1 tables, which it has mapped read-only: each is carried
//! out as a validated update, as if the store had gone through.

#![forbid(unsafe_code)]

use super::error::{MmError, Stop};
use super::lock::PtLock;
use super::platform::{Platform, Slot};
use super::pte;
use super::reference::Mm;
use super::typ::Level;
use guest_abi::ids::Mfn;

/// A naturally aligned part of an entry: 1, 2, 4 or 8 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EntryPart {
    slot: Slot,
    /// How far the part lies from bit 0.
    shift: u32,
    /// The bits of the part, at bit 0.
    mask: u64,
}

impl EntryPart {
    /// The part of `size` bytes at byte `offset` of a table. None if it is not aligned, or of a size
    /// that no store has.
    #[inline]
    #[must_use]
    pub const fn new(offset: u64, size: u64) -> Option<Self> {
        let mask = match size {
            1 => 0xFF,
            2 => 0xFFFF,
            4 => 0xFFFF_FFFF,
            8 => u64::MAX,
            _ => return None,
        };
        if offset & (size - 1) != 0 || offset >= guest_abi::ids::PAGE_SIZE as u64 {
            return None;
        }
        Some(Self {
            slot: Slot::of_address(offset),
            shift: (offset as u32 & 7) * 8,
            mask,
        })
    }

    /// The part's value in `entry`.
    #[inline]
    #[must_use]
    pub const fn of(self, entry: u64) -> u64 {
        entry >> self.shift & self.mask
    }

    /// `entry` with the part replaced.
    #[inline]
    #[must_use]
    pub const fn merged(self, entry: u64, value: u64) -> u64 {
        entry & !(self.mask << self.shift) | (value & self.mask) << self.shift
    }
}

/// How a compare-and-exchange ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exchange {
    /// Exchanged.
    Done,
    /// The part was not as expected but this.
    Differs(u64),
}

impl<P: Platform> Mm<'_, P> {
    /// Reads a part of an entry, for an instruction that computes the new value from the old one.
    ///
    /// # Errors
    /// `table` is no L1 table of the lock's domain in force.
    #[inline]
    pub fn read_entry_part(
        &self,
        lock: &PtLock<'_>,
        table: Mfn,
        part: EntryPart,
    ) -> Result<u64, MmError> {
        self.own_table(lock, table, Level::L1)?;
        Ok(part.of(self.platform.read(table, part.slot)))
    }

    /// Stores `value` into a part of an entry of `table`, an L1 table of the lock's domain in force.
    ///
    /// # Errors
    /// [`Stop::Preempted`]: nothing has changed, call again. Otherwise what is wrong with the entry: the
    /// guest gets its page fault.
    pub fn emulate_store(
        &self,
        lock: &mut PtLock<'_>,
        table: Mfn,
        part: EntryPart,
        value: u64,
    ) -> Result<(), Stop> {
        loop {
            let expected = self.read_entry_part(lock, table, part)?;
            match self.emulate_compare_exchange(lock, table, part, expected, value)? {
                Exchange::Done => return Ok(()),
                // The processor has set the accessed or dirty bit meanwhile, which happens twice at
                // most, since nobody else can change the entry.
                Exchange::Differs(_) => (),
            }
        }
    }

    /// Replaces a part of an entry of `table`, an L1 table of the lock's domain in force, if it is
    /// `expected`.
    ///
    /// # Errors
    /// As for [`Self::emulate_store`].
    #[inline]
    pub fn emulate_compare_exchange(
        &self,
        lock: &mut PtLock<'_>,
        table: Mfn,
        part: EntryPart,
        expected: u64,
        new: u64,
    ) -> Result<Exchange, Stop> {
        self.finish_pending(lock)?;
        self.own_table(lock, table, Level::L1)?;
        match self.try_compare_exchange(lock, table, part, expected, new) {
            Err(MmError::Residue) => {
                let entry = part.merged(self.platform.read(table, part.slot), new);
                self.make_writable(lock, pte::mfn(entry))?;
                self.own_table(lock, table, Level::L1)?;
                Ok(self.try_compare_exchange(lock, table, part, expected, new)?)
            }
            result => Ok(result?),
        }
    }

    #[inline]
    fn try_compare_exchange(
        &self,
        lock: &PtLock<'_>,
        table: Mfn,
        part: EntryPart,
        expected: u64,
        new: u64,
    ) -> Result<Exchange, MmError> {
        let old = self.platform.read(table, part.slot);
        if part.of(old) != expected {
            return Ok(Exchange::Differs(part.of(old)));
        }
        let new = self.get_l1_change(lock, old, part.merged(old, new), lock.domain())?;
        match self.platform.compare_exchange(table, part.slot, old, new) {
            Ok(()) => {
                self.put_l1_change(old, new);
                Ok(Exchange::Done)
            }
            Err(changed) => {
                // What was taken for the new entry is what would be dropped of it, were it replaced.
                self.put_l1_change(new, old);
                Ok(Exchange::Differs(part.of(changed)))
            }
        }
    }
}
