//! The contract with guests: what a paravirtualized 64-bit kernel and its tools may rely on.
//!
//! Numbers, layouts and names only; no logic. Every layout is asserted at compile time beside its
//! definition, and a host test compares all of them with a C compiler's reading of the public headers.
//!
//! Structures have no unnamed padding, so a structure from [`zerocopy::FromZeros::new_zeroed`] with its
//! fields set carries no stray bytes.
#![no_std]
#![forbid(unsafe_code)]

#[macro_use]
mod define;

pub mod errno;
pub mod event_channel;
pub mod fifo_events;
pub mod grant_op;
pub mod grant_table;
pub mod hypercall;
pub mod ids;
pub mod table;
mod unknown_number;

pub use unknown_number::UnknownNumber;

/// The tables of all modules.
pub const INTERFACES: &[&table::Interface] = &[
    &errno::TABLE,
    &event_channel::TABLE,
    &fifo_events::TABLE,
    &grant_op::TABLE,
    &grant_table::TABLE,
    &hypercall::TABLE,
];
