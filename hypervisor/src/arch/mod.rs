//! The processor: registers, instructions, descriptor tables, page tables of our own, interrupts, time
//! sources, and the way in and out of the hypervisor. The only room that knows them.
//!
//! A processor finds its own data by its stack: each has a block of [`layout::STACK_BLOCK`] bytes,
//! aligned to its size, whose last bytes are a [`percpu::CpuInfo`]. No segment base is used for it, so
//! guests may own FS and GS while the hypervisor runs.

pub mod layout;

#[cfg(target_os = "none")]
mod acpi_memory;
#[cfg(target_os = "none")]
mod apic;
#[cfg(target_os = "none")]
mod backtrace;
#[cfg(target_os = "none")]
pub mod boot;
#[cfg(target_os = "none")]
mod boot_memory;
#[cfg(target_os = "none")]
mod clock;
#[cfg(target_os = "none")]
mod death;
#[cfg(target_os = "none")]
mod features;
#[cfg(target_os = "none")]
mod frames;
#[cfg(target_os = "none")]
mod heap;
#[cfg(target_os = "none")]
mod idle;
#[cfg(target_os = "none")]
mod ioapic;
#[cfg(target_os = "none")]
mod msr;
#[cfg(target_os = "none")]
mod paging;
#[cfg(target_os = "none")]
mod percpu;
#[cfg(all(target_os = "none", feature = "planted-faults"))]
mod planted;
#[cfg(target_os = "none")]
mod port;
#[cfg(target_os = "none")]
mod serial;
#[cfg(target_os = "none")]
mod smp;
#[cfg(target_os = "none")]
mod symbols;
#[cfg(target_os = "none")]
mod tables;
#[cfg(target_os = "none")]
mod traps;
#[cfg(target_os = "none")]
mod vga;
#[cfg(target_os = "none")]
mod watchdog;
