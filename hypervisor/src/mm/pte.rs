//! Page-table entries as numbers: which bits each level allows, which are forced, which may change
//! without looking at the frame. Plain functions of values.
//!
//! The guest's kernel and its processes both run in ring 3, so every mapping is a user mapping for the
//! hardware. A kernel mapping is told from a process's by software bit 52, and is not global, so that
//! it disappears when the kernel's root is left; a process's mapping is global and survives.

#![forbid(unsafe_code)]

use super::error::MmError;
use super::typ::Level;
use guest_abi::ids::Mfn;

/// Entry is in use.
pub const PRESENT: u64 = 1 << 0;
/// Writes are allowed.
pub const WRITABLE: u64 = 1 << 1;
/// Ring 3 may use it: always, in a guest's entries.
pub const USER: u64 = 1 << 2;
/// Cache attribute, low bit.
pub const PWT: u64 = 1 << 3;
/// Cache attribute, middle bit.
pub const PCD: u64 = 1 << 4;
/// Set by the processor on use.
pub const ACCESSED: u64 = 1 << 5;
/// Set by the processor on a write. Ignored above L1.
pub const DIRTY: u64 = 1 << 6;
/// L1: cache attribute, high bit.
pub const PAT: u64 = 1 << 7;
/// L2 and L3: maps a large page. L4: reserved.
pub const PAGE_SIZE_BIT: u64 = 1 << 7;
/// The translation survives a change of root.
pub const GLOBAL: u64 = 1 << 8;
/// Bits 9 to 11 are the guest's.
pub const AVAILABLE_LOW: u64 = 7 << 9;
/// The frame, 12 to 51.
pub const FRAME: u64 = ((1 << 52) - 1) & !0xFFF;
/// The frame number that stands for no frame.
pub const NO_FRAME: Mfn = Mfn(FRAME >> 12);
/// Software: an L1 entry of the guest's kernel, not of its processes.
pub const GUEST_KERNEL: u64 = 1 << 52;
/// Bits 52 to 62 are software's, [`GUEST_KERNEL`] among them.
pub const AVAILABLE_HIGH: u64 = ((1 << 11) - 1) << 52;
/// No instruction fetch.
pub const NO_EXECUTE: u64 = 1 << 63;

/// The bits that choose a cache attribute in L1 entries.
pub const CACHE_ATTRIBUTES: u64 = PWT | PCD | PAT;

/// Bits that say nothing about which frame is referenced and how: changing them needs no look at the
/// frame.
pub const FLAGS_ONLY: u64 =
    NO_EXECUTE | AVAILABLE_HIGH | AVAILABLE_LOW | GLOBAL | DIRTY | ACCESSED | USER;

/// Slots 256 to 271 of a root belong to the hypervisor.
const HYPERVISOR_SLOTS: core::ops::RangeInclusive<u16> = 256..=271;

/// Whether entry `slot` of a table of `level` belongs to the hypervisor.
#[inline]
#[must_use]
pub const fn is_hypervisor_slot(level: Level, slot: super::platform::Slot) -> bool {
    matches!(level, Level::L4)
        && slot.number() >= *HYPERVISOR_SLOTS.start()
        && slot.number() <= *HYPERVISOR_SLOTS.end()
}

/// What a domain's entries may contain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EntryPolicy {
    /// Bits that make a present L1 entry invalid.
    l1_refused: u64,
    /// Bits that make a present entry of the other levels invalid.
    table_refused: u64,
}

impl EntryPolicy {
    /// For an ordinary domain: no cache attributes.
    pub const ORDINARY: Self = Self {
        l1_refused: CACHE_ATTRIBUTES,
        table_refused: PWT | PCD | PAGE_SIZE_BIT | GLOBAL,
    };
    /// For a domain with rights to device memory: cache attributes are its business.
    pub const WITH_DEVICES: Self = Self {
        l1_refused: 0,
        ..Self::ORDINARY
    };

    /// The same for a processor that knows no [`NO_EXECUTE`].
    #[must_use]
    pub const fn without_no_execute(self) -> Self {
        Self {
            l1_refused: self.l1_refused | NO_EXECUTE,
            table_refused: self.table_refused | NO_EXECUTE,
        }
    }

    /// Refuses what a present entry of `level` must not contain.
    ///
    /// # Errors
    /// [`MmError::BadFlags`].
    #[inline]
    pub const fn check(self, level: Level, entry: u64) -> Result<(), MmError> {
        let refused = match level {
            Level::L1 => self.l1_refused,
            Level::L2 | Level::L3 | Level::L4 => self.table_refused,
        };
        if entry & refused == 0 {
            Ok(())
        } else {
            Err(MmError::BadFlags)
        }
    }
}

/// Whether the entry is in use.
#[inline]
#[must_use]
pub const fn is_present(entry: u64) -> bool {
    entry & PRESENT != 0
}

/// Whether the entry allows writes.
#[inline]
#[must_use]
pub const fn is_writable(entry: u64) -> bool {
    entry & WRITABLE != 0
}

/// The frame of a present entry.
#[inline]
#[must_use]
pub const fn mfn(entry: u64) -> Mfn {
    Mfn::of_address(entry & FRAME)
}

/// A present entry with the bits that the hypervisor forces at `level`.
#[inline]
#[must_use]
pub const fn adjusted(level: Level, entry: u64) -> u64 {
    match level {
        Level::L1 if entry & USER == 0 => entry | USER | GUEST_KERNEL,
        Level::L1 if entry & GUEST_KERNEL == 0 => entry | GLOBAL,
        Level::L1 => entry,
        Level::L2 | Level::L3 => entry | USER,
        Level::L4 => entry | USER | ACCESSED,
    }
}

/// Whether two entries reference the same frame in the same way: what differs is in `may_differ`, and
/// both are present.
#[inline]
#[must_use]
pub const fn differ_only_in(may_differ: u64, one: u64, other: u64) -> bool {
    one & other & PRESENT != 0 && (one ^ other) & !may_differ == 0
}

/// A mapping of device memory with a cache attribute that devices can stand: write-back, write-through
/// and write-protect become uncacheable.
///
/// The attributes are indices into the PAT as it is programmed for all domains: 0 write-back,
/// 1 write-through, 2 and 3 uncacheable, 4 write-combining, 5 write-protect, 6 and 7 uncacheable.
#[inline]
#[must_use]
pub const fn device_attributes(entry: u64) -> u64 {
    match entry & CACHE_ATTRIBUTES {
        // Index 0, 1, 5.
        0 | PWT => entry & !CACHE_ATTRIBUTES | PWT | PCD,
        attributes if attributes == PAT | PWT => entry & !CACHE_ATTRIBUTES | PWT | PCD,
        _ => entry,
    }
}
