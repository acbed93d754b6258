//! Memory: the frame table, frame types and their counts, page-table validation, and the frame allocator.
//!
//! # Why any of this
//!
//! A guest's page tables are loaded into the processor as they are, so whoever can write to a page table
//! in use can reach all memory of the machine. Guests build their tables themselves, in their own
//! memory. What keeps them apart is one rule, held for every frame at every moment:
//!
//! > A frame has at most one *type* at a time. While some frame is used as a page table, nobody can
//! > write to it but this room, which checks each entry before it becomes live.
//!
//! Everything else here exists to keep that rule true while it stays cheap: a guest can't be stopped,
//! searched for mappings, and started again each time it makes a table. So uses are *counted*.
//!
//! # Counts
//!
//! Each frame has an entry in the frame table ([`frame::Frame`]) with two counts.
//!
//! The **general reference count** says how many things refer to the frame at all: its allocation to
//! its owner, each present page-table entry that maps it, each use as a table, each grant, each copy
//! under way. At zero nothing can reach the frame, and it is freed. A reference can be taken only from a
//! count that is not zero, which is how those without any lock find out whether a frame is still there;
//! and only while a reference is held the owner is sure to stay the same.
//!
//! The **type count** says how many uses depend on the frame being of its type ([`typ::Type`]): writable
//! mappings and copies for `Writable`; entries of higher tables, pins and loaded roots for `L1` to `L4`;
//! descriptor table slots for `SegDesc`. While it is not zero the type can't change. A read-only mapping
//! is no type use, so a guest can look at its own tables. Each type reference comes with a general one.
//!
//! # Types
//!
//! When the first use of a new type comes along, the frame's type count is zero, and the type is
//! changed. Three things have to happen in this order, with nobody able to interfere:
//!
//! 1. The type is claimed: one exchange of the type word from (old type, 0) to (new type, 1, not valid).
//!    From here on every other use of the frame is refused.
//! 2. The **flush** that is owed for the old type is made. Somewhere a processor may still hold a
//!    translation that was made while the frame was mapped writable, though the entry is long gone; or,
//!    when a table becomes writable, walk through it by a cached pointer. Every processor that may have
//!    run the owner, and has not flushed since the last use of the old type ended, is made to
//!    ([`tlb`]). When others than the owner had it writable, every processor is suspected. The moment
//!    is kept in the type word itself, and each drop of a reference sets it, so that it can't be lost in
//!    a race between two drops.
//! 3. For tables and descriptors the contents are **validated**: each present entry is checked and takes
//!    the references that it stands for. Then the type is *valid* and the table may be used.
//!
//! A table whose count falls to zero is **devalidated**: its entries drop their references. The type
//! stays written down, without meaning but for one thing: going back to the same type needs no flush.
//!
//! An L1 entry refers to a page, entries of a higher level refer to tables of the level below, of the
//! same owner, and to nothing else: no large pages, and no table that contains itself or its like. So
//! the references form a graph in which every path goes down at most four steps, and dropping what
//! holds the top frees everything below.
//!
//! # Pins
//!
//! A pin is a type reference held by a flag of the frame itself. The guest uses it to validate a tree of
//! tables once, when a process starts, instead of at each switch to it.
//!
//! # Residues
//!
//! Validating a root can mean looking at 2^27 entries. The work is interruptible after every table; what
//! has been done is kept in the frame as a **residue**: the number n of leading entries that hold their
//! references. The states are in the table at [`typ::TypeWord`].
//!
//! * *Validation* that stops leaves count 0 and a residue. The residue holds a general reference, so
//!   the frame can't go away; it gives nobody the right to use the table. Validation goes on from n when
//!   the type is asked for again, by whomever. To become anything else the frame must first drop what
//!   the residue holds. That takes the page-table lock, so lock-free users are refused meanwhile.
//! * *Devalidation* that stops keeps the count at 1: whoever was giving up the reference (a pin, a
//!   higher table's residue, the domain's pending put) still holds it and has to come back. If
//!   somebody wants the table before that, it is validated upward again from n.
//! * A table that stops because one below it stopped does not include that one in its residue when it
//!   is going up, and still includes it when it is going down.
//! * Validation that *fails* has to undo what it did. When that is interrupted, or when the last use of
//!   a table that an update has replaced can't be ended in one go, the rest is remembered with the
//!   domain ([`lock::PtDomain`]), and the next operation on the domain's tables starts with it.
//!
//! # Locks
//!
//! The **page-table lock** of a domain ([`lock::PtLock`], rank
//! [`PAGE_TABLES`](crate::sync::rank::PAGE_TABLES)) is needed for every change of the entries of its
//! tables in force, and for every change of the type of its frames to and from anything but `Writable`.
//! So a validation never meets another one of the same domain. It is held with interrupts enabled,
//! because flushes wait for other processors; nobody waits for it with interrupts off. Nobody holds
//! two of them.
//!
//! **General and writable references** are taken and dropped with no lock at all, from anywhere:
//! grants, copies, other domains' mappings. They meet validation only in the type word of a frame
//! that is idle, where one exchange decides.
//!
//! Below it in the order come the lock of a domain's frame list
//! ([`DOMAIN_FRAMES`](crate::sync::rank::DOMAIN_FRAMES)) and the allocator's
//! ([`FRAME_ALLOCATOR`](crate::sync::rank::FRAME_ALLOCATOR)), because dropping a last reference frees
//! a frame, whoever's it is.
//!
//! # Where things are
//!
//! | | |
//! |---|---|
//! | [`frame`], [`frame_list`] | the frame table and lists through it |
//! | [`buddy`], [`block`], [`held`] | frames without an owner: allocator, scrubbing, obligations |
//! | [`typ`], [`tlb`], [`flush_clock`] | the type word as pure steps; who has flushed since when |
//! | [`mod@reference`] | general and writable references |
//! | [`pte`] | entries as numbers |
//! | `entry`, `table` | what entries hold; tables coming into force and going out |
//! | [`update`], [`mmu_update`], [`emulate`], [`walk`] | changing live tables |
//! | [`pin`], [`descriptor`] | pins and roots; descriptor pages |
//! | [`frame_type`] | what a frame is, for who saves a domain |
//! | [`granted`] | references and entries for grants |
//! | [`ownership`], [`exchange`] | a domain's frames, their exchange, and their end |
//! | [`verify`] | the audit |
//! | [`platform`], [`lock`], [`error`] | what the room needs, asks for, and answers |
#![forbid(unsafe_code)]

pub mod block;
pub mod buddy;
#[cfg(all(any(test, fuzzing), not(loom)))]
pub mod calls;
pub mod descriptor;
pub mod emulate;
mod entry;
pub mod errand;
pub mod error;
pub mod exchange;
pub mod flush_clock;
pub mod frame;
pub mod frame_list;
pub mod frame_type;
pub mod granted;
pub mod held;
#[cfg(all(test, not(loom)))]
mod interrupt_tests;
pub mod lock;
#[cfg(all(test, loom))]
mod loom_models;
#[cfg(all(any(test, fuzzing), not(loom)))]
pub mod memory_calls;
pub mod mmu_update;
#[cfg(all(test, not(loom)))]
mod model;
#[cfg(all(test, not(loom)))]
mod model_tests;
pub mod ownership;
pub mod pin;
pub mod platform;
pub mod pte;
#[cfg(all(test, not(loom)))]
mod pte_tests;
pub mod reference;
#[cfg(all(test, not(loom)))]
mod rule_tests;
mod table;
#[cfg(all(any(test, fuzzing), not(loom)))]
#[cfg_attr(
    fuzzing,
    allow(dead_code, reason = "the fuzzer does not need all of it")
)]
mod test_guest;
#[cfg(all(any(test, fuzzing), not(loom)))]
#[cfg_attr(
    fuzzing,
    allow(dead_code, reason = "the fuzzer does not need all of it")
)]
mod test_machine;
#[cfg(any(test, fuzzing))]
#[cfg_attr(
    fuzzing,
    allow(dead_code, reason = "the fuzzer does not need all of it")
)]
mod test_support;
pub mod tlb;
pub mod typ;
pub mod update;
pub mod verify;
pub mod walk;
