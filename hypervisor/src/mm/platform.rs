//! What the rules of this room need from the machine and from the rest of the hypervisor, each as the
//! narrowest trait that serves. On the machine they are a few instructions each; tests and models put
//! something else behind them.

#![forbid(unsafe_code)]

use super::held::HeldFrame;
use super::tlb::Tlb;
use guest_abi::ids::{DomId, Mfn};

/// An entry's place in its table: 0 to 511.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Slot(u16);

impl Slot {
    /// Entries of a table.
    pub const COUNT: u16 = 512;

    /// Slot number `number`, if a table has it.
    #[inline]
    #[must_use]
    pub const fn new(number: u64) -> Option<Self> {
        if number < Self::COUNT as u64 {
            Some(Self(number as u16))
        } else {
            None
        }
    }

    /// The slot that holds the byte at machine address `address` of its table.
    #[inline]
    #[must_use]
    pub const fn of_address(address: u64) -> Self {
        Self((address >> 3) as u16 & (Self::COUNT - 1))
    }

    /// The number, below 512.
    #[inline]
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }

    /// Slots `from..to`; what a table does not have is left out.
    #[inline]
    pub fn range(from: u32, to: u32) -> impl DoubleEndedIterator<Item = Self> {
        (from.min(Self::COUNT.into()) as u16..to.min(Self::COUNT.into()) as u16).map(Self)
    }
}

/// Access to frames as arrays of 512 entries of 64 bits. The processors' page-table walkers set accessed
/// and dirty bits at the same time, so each access is one atomic access of 8 bytes.
///
/// Callers name only frames that have an entry in the frame table and on which a reference is held.
pub trait PageTables {
    /// Reads an entry.
    fn read(&self, table: Mfn, slot: Slot) -> u64;
    /// Writes an entry.
    fn write(&self, table: Mfn, slot: Slot, value: u64);
    /// Replaces `old` by `new`, atomically.
    ///
    /// # Errors
    /// The entry is not `old` but this.
    fn compare_exchange(&self, table: Mfn, slot: Slot, old: u64, new: u64) -> Result<(), u64>;
    /// Fills the hypervisor's slots 256..=271 of a root that is about to come into force.
    fn install_hypervisor_slots(&self, root: Mfn);
}

/// Whole-frame operations.
pub trait PageContents: super::block::Scrub {
    /// Copies the contents of frame `from` to frame `to`.
    fn copy(&self, to: Mfn, from: Mfn);
}

/// What is at a frame number that is nobody's memory, for one domain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Device {
    /// Memory (somebody's, or free), or a number that no address bus has.
    None,
    /// Device memory that the domain has no right to.
    Forbidden,
    /// Device memory that the domain may map read-only.
    ReadOnly,
    /// Device memory that the domain may map.
    Allowed,
}

/// Rights to device memory. Whether a frame is memory or device never changes.
pub trait IoRights {
    /// What `mfn` is to `domain`. Never asked for frames that have an owner.
    fn device(&self, domain: DomId, mfn: Mfn) -> Device;
}

/// Asked after each bounded piece of work.
pub trait Preempt {
    /// Whether the processor is wanted for something else: a scheduling or interrupt event is pending.
    fn should_yield(&self) -> bool;
}

/// Where frames go that lost their last reference.
pub trait FrameSink {
    /// Takes the frame out of its owner's list and accounts, resets its machine-to-physical entry, and
    /// frees it. May be called with a page-table lock held (of any domain).
    fn release(&self, frame: HeldFrame);
}

/// The table that guests read to turn frame numbers into their own.
pub trait MachineToPhys {
    /// Sets the entry of `mfn`.
    fn set(&self, mfn: Mfn, pfn: u64);
}

/// Operations of one domain on another.
pub trait Privilege {
    /// Whether `subject` may map memory of `target` and work on its page tables.
    fn may_map_foreign(&self, subject: DomId, target: DomId) -> bool;
}

/// All of it, as one bound.
pub trait Platform:
    Tlb + PageTables + PageContents + IoRights + Preempt + FrameSink + MachineToPhys + Privilege
{
}

impl<T> Platform for T where
    T: Tlb + PageTables + PageContents + IoRights + Preempt + FrameSink + MachineToPhys + Privilege
{
}
