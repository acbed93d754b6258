//! Tiny paravirtualized kernels, one behaviour each, that a boot loader starts in the first domain's place.
//!
//! All of them are one program: the word `test=` on its command line picks the case, whose verdict is the
//! last line on the console and the status by which the machine ends. [`catalogue`] lists the cases; on
//! the host that is all there is, for those who boot them. On bare metal `cases` holds them, and the
//! other modules are what they stand on.
#![allow(
    dead_code,
    reason = "the library is ahead of its cases: those on events, timers and processors come next"
)]
#![cfg_attr(target_os = "none", no_std)]

pub mod catalogue;
#[cfg(target_os = "none")]
mod chance;

#[cfg(target_os = "none")]
#[macro_use]
mod console;
#[cfg(target_os = "none")]
mod cases;
#[cfg(target_os = "none")]
mod clock;
#[cfg(target_os = "none")]
mod command_line;
#[cfg(target_os = "none")]
mod control;
#[cfg(target_os = "none")]
mod cpu;
#[cfg(target_os = "none")]
mod event;
#[cfg(target_os = "none")]
mod grant;
#[cfg(target_os = "none")]
mod hypercall;
#[cfg(target_os = "none")]
mod memory;
#[cfg(target_os = "none")]
pub mod notes;
#[cfg(target_os = "none")]
mod nvme;
#[cfg(target_os = "none")]
mod pci;
#[cfg(target_os = "none")]
mod pirq;
#[cfg(target_os = "none")]
mod port;
#[cfg(target_os = "none")]
mod reservation;
#[cfg(target_os = "none")]
mod shared_ring;
#[cfg(target_os = "none")]
mod smp;
#[cfg(target_os = "none")]
mod start;
#[cfg(target_os = "none")]
mod trap;
#[cfg(target_os = "none")]
mod user;
#[cfg(target_os = "none")]
mod verdict;
