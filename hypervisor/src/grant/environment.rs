//! What this room needs of the rest: domains, shared entries, frames, page tables.
#![forbid(unsafe_code)]

use super::table::GrantTable;
use core::ops::Deref;
use guest_abi::grant_op::GrantStatus;
use guest_abi::ids::{DomId, GrantRef, Mfn, Vaddr};

/// What a grant is used for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Access {
    /// Reads.
    Read,
    /// Reads and writes.
    Write,
}

/// No memory, or none that may be charged to the domain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfMemory;

/// The version 1 entries of one domain's table, in frames that the guest writes at any time.
///
/// `gref` is below the number of entries that [`add_frame`](Self::add_frame) has made in every call.
/// The *head* of an entry is its first 32 bits as one number: the flags below, the grantee above. What
/// changes a head is one locked instruction and a full barrier; each load is one instruction.
pub trait SharedEntries {
    /// Reads a head.
    fn load_head(&self, gref: GrantRef) -> u32;
    /// Replaces a head if it is `old`; if not, says what it is.
    fn exchange_head(&self, gref: GrantRef, old: u32, new: u32) -> Result<(), u32>;
    /// Clears bits of the flags.
    fn clear_flags(&self, gref: GrantRef, bits: u16);
    /// Reads the frame number.
    fn load_frame(&self, gref: GrantRef) -> u32;
    /// Adds a zeroed frame of 512 entries at the end. Calls never overlap.
    fn add_frame(&self) -> Result<(), OutOfMemory>;
    /// The frame with that index, to be listed to the guest.
    fn frame(&self, index: u32) -> Option<Mfn>;
}

/// A domain, as this room sees it: one that grants, one that maps, or both.
pub trait GrantDomain {
    /// Its shared entries. They live as long as the domain, dead or not.
    type Entries: SharedEntries;

    /// Its number.
    fn id(&self) -> DomId;
    /// Its grant table and mapping handles.
    fn grants(&self) -> &GrantTable;
    /// Its shared entries.
    fn entries(&self) -> &Self::Entries;
    /// Charges the domain for memory of the hypervisor's that it makes the hypervisor use.
    fn charge(&self, bytes: usize) -> Result<(), OutOfMemory>;
    /// Gives a charge back.
    fn uncharge(&self, bytes: usize);
    /// The table is [closed](GrantTable::close_for_good), and no grant of it is in use any more. Called with no lock
    /// of this room held.
    fn last_use_ended(&self);
}

/// All domains.
pub trait GrantDomains {
    /// A domain.
    type Domain: GrantDomain;
    /// Keeps a domain from being freed.
    type Ref<'a>: Deref<Target = Self::Domain>
    where
        Self: 'a;

    /// The domain with that number, dying and dead ones included. A domain of which a grant
    /// [is in use](GrantTable::is_in_use) is not freed and its number not used again, so whoever has a use
    /// finds its granter here. (References on frames are not enough: a guest may overwrite a granted
    /// level-1 entry, which drops the reference and leaves the use.)
    fn get(&self, id: DomId) -> Option<Self::Ref<'_>>;
}

/// Why a frame can't be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameError {
    /// Not a frame of that domain, or not one that it may give to others: memory that the hypervisor
    /// shares with it (grant frames among them) is refused here.
    NotOwned,
    /// It is in use as something that must not be written, or its count is exhausted.
    TypeConflict,
}

impl From<FrameError> for GrantStatus {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::NotOwned => Self::BadPage,
            FrameError::TypeConflict => Self::GeneralError,
        }
    }
}

/// The machine's frames and their reference counts.
pub trait Frames {
    /// Takes a reference on a frame of `owner`; for [`Access::Write`] also one on its type *writable*.
    fn get(&self, owner: DomId, frame: Mfn, access: Access) -> Result<(), FrameError>;
    /// Gives back what [`get`](Self::get) took.
    fn put(&self, frame: Mfn, access: Access);
    /// Copies bytes between frames on which the caller holds references, the destination's for writing.
    /// Guests change both meanwhile. Each offset plus `len` is at most a frame's size; the ranges may
    /// overlap.
    fn copy(&self, from: (Mfn, u16), to: (Mfn, u16), len: u16);
}

/// Where a mapping for CPUs is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HostTarget {
    /// The level-1 entry of this address in the caller's current page tables.
    Address(Vaddr),
    /// The level-1 entry at this machine address, a multiple of 8.
    Entry(u64),
}

/// A mapping for CPUs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HostMapping {
    /// Where.
    pub target: HostTarget,
    /// What.
    pub frame: Mfn,
    /// With [`Access::Read`] the entry is not writable.
    pub access: Access,
    /// Accessible to user mode too.
    pub is_user: bool,
    /// For bits 9 to 11 of the entry.
    pub available_bits: u8,
}

/// The target can't hold the mapping, or does not hold the one named. Nothing has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MapError;

impl From<MapError> for GrantStatus {
    fn from(MapError: MapError) -> Self {
        Self::GeneralError
    }
}

/// The page tables of the calling domain, as seen by the vCPU that calls.
///
/// Each present level-1 entry holds a reference on its frame, with the writable type if it is writable.
/// The methods move that reference between the caller and the entry.
pub trait Mapper {
    /// Makes the target map the frame and gives it the caller's reference. What the target held before is
    /// dropped as by any other change of an entry.
    fn create(&self, mapping: &HostMapping) -> Result<(), MapError>;
    /// If the target is present and maps `frame` with exactly this access, clears it and gives its
    /// reference to the caller. Translations of it may live until [`flush`](Self::flush).
    fn destroy(&self, target: HostTarget, frame: Mfn, access: Access) -> Result<(), MapError>;
    /// As [`destroy`](Self::destroy), but the target gets the level-1 entry of `source`, which is cleared
    /// in turn.
    fn replace(
        &self,
        target: Vaddr,
        frame: Mfn,
        access: Access,
        source: Vaddr,
    ) -> Result<(), MapError>;
    /// When this returns, no processor holds a translation from before the call that some vCPU of the
    /// domain could use.
    fn flush(&self);
}

/// Everything that an operation works with.
#[derive(Debug)]
pub struct Context<'a, L: GrantDomains, F, M> {
    /// All domains.
    pub domains: &'a L,
    /// The domain that calls.
    pub caller: &'a L::Domain,
    /// The machine's frames.
    pub frames: &'a F,
    /// The caller's page tables.
    pub mapper: &'a M,
}

impl<L: GrantDomains, F, M> Clone for Context<'_, L, F, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<L: GrantDomains, F, M> Copy for Context<'_, L, F, M> {}
