//! Grant tables, version 1: memory that one domain lets another map or copy.
//!
//! # What can go wrong here
//!
//! A grant is a promise made in memory that the granter rewrites at will, redeemed by a grantee that asks
//! on several processors at once, and withdrawn by a flag that the hypervisor must set and clear at
//! exactly the right moments. In earlier implementations of this interface most escapes were of one
//! sort: two books about the same mapping that came to disagree — a count dropped twice, dropped on the
//! wrong entry, dropped before the translation was gone, or dropped for a mapping made with other
//! rights. So this room keeps as few books as it can, and says for each who may write in it.
//!
//! # The books
//!
//! * The **shared entry** ([`SharedEntries`]): written by the guest at any time. It is believed at one
//!   moment only, in the exchange that marks it in use.
//! * The **active entry** ([`active`]): one for each shared entry, under a lock of its own. It counts
//!   *uses* by kind (for CPUs, for devices) and access, and holds the grantee and the frame to which all of
//!   them refer.
//! * The **handle** ([`handles`]): one word for each mapping, owned by at most one operation at a time. It
//!   names the grant and says which uses remain.
//! * The **frame's references** ([`Frames`]): a device use owns one; that of a use for CPUs is owned by the
//!   level-1 entry ([`Mapper`]), like any other entry's, and goes with it however it goes.
//!
//! # Invariants
//!
//! * **I1 Uses are accounted for.** A grant's uses are those of the handles that name it, plus copies and
//!   unmaps in progress, each of which holds its own.
//! * **I2 A use is a fixed point.** While a grant has any use, its grantee and frame do not change, and
//!   nothing in the shared entry is believed but the permission to begin writing (together with the
//!   same type, grantee and frame as before).
//! * **I3 Marked before, unmarked after.** The exchange that finds the permission sets *reading* and
//!   *writing*, so a granter either revokes first or sees that it may not. They are cleared when the
//!   last use of their sort ends; a use ends after its reference was given up; a reference is given up
//!   after the mapping is out of every translation buffer. [`Unmapped`](unmap::Unmapped) is that order as a
//!   value.
//! * **I4 References are exact.** Every reference taken is owned by a level-1 entry, a device use, a copy in
//!   progress or an unmap in progress. An unmap takes over the reference of the entry that it cleared,
//!   after seeing that this entry maps that frame with those rights. Which of several equal entries
//!   it was makes no difference to any count.
//! * **I5 One operation for each handle.** It takes the word by exchange, and what it read there holds until
//!   it puts the word back. Whoever comes second is told that there is no such handle.
//! * **I6 One look.** A value from the shared entry or from an operation's arguments is read once, checked,
//!   and used from the copy.
//! * **I7 A refusal changes nothing.** Each operation does first what can fail, then what can't; where that
//!   is impossible it undoes in reverse order.
//! * **I8 Everything is bounded.** Counts refuse before they overflow; a head that will not hold still is
//!   given up after a few tries; handles and frames have limits and are charged; references from the
//!   guest index nothing without [`speculation::index`](crate::speculation::index); arrays are preemptible.
//! * **I9 Reach implies use.** If a domain can reach another's frame by a mapping from here, a use says so.
//!   (The converse does not hold: a guest that overwrites a granted level-1 entry by other means leaves
//!   its use behind until it dies. That denies the granter its own page, which a grantee always can.)
//!
//! # Life of a mapping
//!
//! 1. A handle is allocated; it is nobody else's.
//! 2. The uses begin under the active entry's lock: permission, mark, frame number, counts.
//! 3. The frame is looked up *as a frame of the granter*, and referenced. A frame number alone never gives
//!    access to anything, even one that an earlier use left behind.
//! 4. The level-1 entry is made and owns its reference. Nothing after this fails.
//! 5. The handle says what it stands for.
//! 6. Unmapping: the handle is taken (I5); the entry is checked and cleared, and its reference taken over;
//!    the handle says what remains. After the batch's flush the references are put and the uses end.
//!
//! # Domains that end
//!
//! A grantee's handles are released by [`release_all`] when its page tables are gone. A granter grants no
//! more after [`GrantTable::close_for_good`], but it stays, its number taken, with its table, its entries
//! and its referenced frames, until no grant of it [is in use](GrantTable::is_in_use): who holds a use finds
//! its granter.
//!
//! # Locks
//!
//! In order: [`GRANT_TABLE`](crate::sync::rank::GRANT_TABLE) (a table's growth), under which
//! [`SharedEntries::add_frame`] and `charge` are called; [`GRANT_ENTRY`](crate::sync::rank::GRANT_ENTRY) (an
//! active entry), held only while it is read or a use begins or ends, and under which nothing is called
//! but accesses to the shared entry; [`GRANT_HANDLES`](crate::sync::rank::GRANT_HANDLES) (a domain's free
//! handles), under which `charge` is called. No two locks of one rank are held together, and none while
//! [`Frames`] or [`Mapper`] is called, so those are free to lock, validate, flush and wait. Interrupt
//! handlers take none of them.
#![forbid(unsafe_code)]

pub mod active;
pub mod batch;
#[cfg(all(any(test, fuzzing), not(loom)))]
pub mod calls;
pub mod copy;
pub mod environment;
pub mod handles;
pub mod map;
pub mod table;
pub mod unmap;

pub use active::{Kind, Pins};
pub use batch::{
    Fault, OpArray, Progress, copy_all, map_all, refuse_transfers, unmap_all, unmap_and_replace_all,
};
pub use environment::{
    Access, Context, FrameError, Frames, GrantDomain, GrantDomains, HostMapping, HostTarget,
    MapError, Mapper, OutOfMemory, SharedEntries,
};
pub use handles::{Handle, Mapping};
pub use table::{GrantTable, GrowError};
pub use unmap::{Released, release_all};

#[cfg(all(test, loom))]
mod loom_models;
#[cfg(all(test, not(loom)))]
mod property_tests;
#[cfg(any(test, fuzzing))]
#[cfg_attr(
    fuzzing,
    allow(dead_code, reason = "the fuzzer does not need all of it")
)]
mod test_machine;
#[cfg(all(test, not(loom)))]
mod tests;
