//! Event channels: ports, their bindings, and the two-level pending bitmaps.
//!
//! # How two domains meet without two locks
//!
//! A port is one atomic word ([`port`]): what it is bound to, whom it notifies, how many deliveries are
//! in progress. Every decision is one compare-and-exchange on one word. Operations on two domains make
//! one move on each word, in an order in which no half-done state misleads anybody:
//!
//! * *Connect* (`bind_interdomain`): own port `Changing` → `Connecting{peer}`; the peer's port
//!   `Unbound{us}` → `Interdomain{us, own}`, which is the decision; own port → `Interdomain{peer}`; own
//!   port pending. If the peer's port is not there for us, the own port is given back.
//! * *Close*: own port → `Changing`, which is the decision; the peer's port, if it still says
//!   `Interdomain{us, own}`, → `Unbound{us}`; wait for deliveries in progress; own pending bit cleared; own
//!   port → `Free`. The port's number is not reused before the peer has let go of it, so "it still says
//!   so" can't be a later connection that looks the same. If the peer is in `Connecting{us, own}` it has
//!   made its decision and will say `Interdomain` next, waiting for nobody: the closer spins for that.
//!   Both ends closed at once find each other `Changing` and both become free.
//! * *Send*: read the own word; *pin* the peer's word if it says `Interdomain{us, own}`; set the bits;
//!   unpin. No lock, no wait, so an interrupt handler may do it. The pin makes it exact: an event never
//!   reaches a port that is not connected to the sender at that moment, nor a later user of its number.
//!
//! # Locks
//!
//! One lock in each domain ([`rank::EVENT_PORTS`](crate::sync::rank::EVENT_PORTS)) protects which ports are
//! free and which carry virtual interrupts. It is a leaf: nothing is locked under it but what
//! [`EventDomain::charge`] takes and the allocator's. No operation holds two domains' locks. Interrupt
//! handlers (`send`, [`raise_virq`], [`raise_pirq`], [`wait::end`]) take none. Waiting happens in two
//! places, both for another processor's next few instructions: [`port::PortWord::drain`] and the spin in
//! close; neither is entered with the lock held or by an interrupt handler.
//!
//! # Permissions
//!
//! Not here. The hall of hypercalls resolves the domain that an operation names (`DOMID_SELF` included),
//! decides whether the caller may act on it, and passes it in.
#![forbid(unsafe_code)]

pub mod bind;
#[cfg(all(any(test, fuzzing), not(loom)))]
pub mod calls;
pub mod connection;
pub mod deliver;
pub mod domain;
pub mod error;
pub mod port;
pub mod table;
#[cfg(all(any(test, fuzzing), not(loom)))]
pub mod vcpu_calls;
pub mod wait;

#[cfg(all(test, loom))]
mod loom_models;
#[cfg(all(test, not(loom)))]
mod property_tests;
#[cfg(any(test, fuzzing))]
#[cfg_attr(
    fuzzing,
    allow(dead_code, reason = "the fuzzer does not need all of it")
)]
mod test_domain;
#[cfg(all(test, not(loom)))]
mod tests;

pub use bind::{
    Progress, alloc_unbound, bind_ipi, bind_pirq, bind_vcpu, bind_virq, close, close_all,
    raise_pirq, raise_virq, status,
};
pub use connection::{bind_interdomain, send};
pub use deliver::unmask;
pub use domain::{EventDomain, EventDomains, Pirqs, SharedInfo};
pub use error::EventError;
pub use table::PortTable;
