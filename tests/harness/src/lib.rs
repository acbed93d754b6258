//! Starts the hypervisor in QEMU and judges what it does.
//!
//! A [`machine::Machine`] says which machine QEMU pretends to be, [`iso`] makes what it boots from,
//! [`run::Run`] is one such machine running: its serial line is collected, stamped with the time and kept
//! in a log file, and every wait has a limit. A [`suite::Case`] drives a run to a [`verdict::Verdict`];
//! [`suite`] runs many of them side by side. The cases are in [`cases`].
#![forbid(unsafe_code)]

pub mod cases;
pub mod iso;
pub mod machine;
pub mod pairwise;
pub mod qemu;
pub mod repack;
pub mod run;
pub mod serial;
pub mod suite;
pub mod verdict;
pub mod work;
