//! The contract with guests: what a paravirtualized 64-bit kernel and its tools may rely on.
//!
//! Numbers, layouts and names only; no logic. Every layout is asserted at compile time beside its
//! definition, and a host test compares all of them with a C compiler's reading of the public headers.
#![no_std]
#![forbid(unsafe_code)]

pub mod ids;
