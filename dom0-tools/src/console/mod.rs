//! `xenconsoled`: guests' consoles on pseudo-terminals, and their output in files.
//!
//! [`ring`] is the guest's end as plain logic, [`flow`] decides what is taken, kept and dropped; [`terminal`] is
//! the administrator's end, which [`attach`] uses. [`host`] finds the consoles by the store and moves bytes, and never waits for
//! a guest or for who is attached. [`hypervisor_log`] keeps what the hypervisor prints.
#![forbid(unsafe_code)]

pub mod attach;
pub mod flow;
pub mod host;
pub mod hypervisor_log;
pub mod line_times;
pub mod ring;
pub mod terminal;

#[cfg(test)]
mod host_tests;
