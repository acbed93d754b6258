//! What administrators run in the first domain: the rooms that its programs are made of.
//!
//! * [`store`] is the store's logic, [`daemon`] carries its messages;
//! * [`client`] talks to it;
//! * [`console`] has the guests' consoles;
//! * [`config`] reads configurations of domains, [`sxp`] the s-expressions of the old tools;
//! * [`bounded_file`] reads files that others fill, [`whole_file`] replaces our own;
//! * [`builder`] builds domains, [`control`] has what is asked of the hypervisor;
//! * [`pygrub`] finds guests' kernels on their own disks;
//! * [`core_dump`] writes what is left of a domain;
//! * [`xend`] owns their life cycle, [`xm`] is what administrators type;
//! * [`command_line`] says how the daemons are called, [`panics`] what a mistake of ours does to a program;
//! * [`device`] is the only room that touches the kernel's devices, and has all `unsafe`.
#![deny(unsafe_code)]

pub mod bounded_file;
pub mod builder;
pub mod client;
pub mod command_line;
#[cfg(feature = "domains")]
pub mod config;
pub mod console;
pub mod control;
pub mod core_dump;
pub mod daemon;
pub mod device;
pub mod panics;
#[cfg(feature = "domains")]
pub mod pygrub;
pub mod store;
#[cfg(feature = "domains")]
pub mod sxp;
pub mod whole_file;
#[cfg(feature = "domains")]
pub mod xend;
#[cfg(feature = "domains")]
pub mod xm;
