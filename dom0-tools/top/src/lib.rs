//! `xentop`: what domains use of the machine.
//!
//! * [`host`] looks at hypervisor, store and kernel, and makes a [`sample`] of what it sees;
//! * [`counters`] reads the kernel's counters of domains' devices;
//! * [`table`] makes lines of a sample and the one before, in the format that programs of administrators read;
//! * [`batch`] prints them, [`screen`] shows them, and does what [`keys`] ask.
//!
//! A program of its own, so that `xm`, which is started for each command, is small.
#![forbid(unsafe_code)]

pub mod batch;
pub mod counters;
pub mod host;
pub mod keys;
pub mod sample;
pub mod screen;
pub mod table;
