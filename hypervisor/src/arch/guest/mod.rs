//! Running guests: the way in from one, what happens then, and the way back.

pub(crate) mod access;
pub(crate) mod areas;
mod bounce;
mod builder;
mod emulation;
pub(super) mod entry;
pub(super) mod exit;
mod legacy_ports;
mod page_fault;
pub(crate) mod running;
pub(crate) mod saved;
pub(crate) mod state;
pub(super) mod switch;

pub(super) use builder::{Parts, build_first_domain};
