//! The processor: registers, instructions, descriptor tables, page tables of our own, interrupts, time
//! sources, and the way in and out of the hypervisor. The only room that knows them.
//!
//! A processor finds its own data by its stack: each has a block of [`layout::STACK_BLOCK`] bytes,
//! aligned to its size, whose last bytes are a `percpu::CpuInfo`. No segment base is used for it, so
//! guests may own FS and GS while the hypervisor runs.

pub mod layout;
pub(crate) mod speculation;

#[cfg(target_os = "none")]
mod acpi_memory;
#[cfg(target_os = "none")]
mod apic;
#[cfg(all(target_os = "none", feature = "planted-faults"))]
mod audit;
#[cfg(target_os = "none")]
mod backtrace;
#[cfg(target_os = "none")]
pub mod boot;
#[cfg(target_os = "none")]
mod boot_memory;
#[cfg(target_os = "none")]
mod boot_stack;
#[cfg(target_os = "none")]
pub(crate) mod build_id;
#[cfg(target_os = "none")]
pub(crate) mod clock;
#[cfg(target_os = "none")]
pub(crate) mod console_input;
#[cfg(target_os = "none")]
mod cpuid_faulting;
#[cfg(target_os = "none")]
pub(crate) mod death;
#[cfg(target_os = "none")]
mod debug;
#[cfg(target_os = "none")]
mod debug_keys;
#[cfg(target_os = "none")]
mod entry_area;
#[cfg(target_os = "none")]
mod features;
#[cfg(target_os = "none")]
pub(crate) mod fpu;
#[cfg(target_os = "none")]
mod frames;
#[cfg(target_os = "none")]
pub(crate) mod guest;
#[cfg(target_os = "none")]
mod heap;
#[cfg(target_os = "none")]
mod ioapic;
#[cfg(target_os = "none")]
pub(crate) mod irq;
#[cfg(all(target_os = "none", feature = "planted-faults"))]
pub(crate) mod lock_order;
#[cfg(target_os = "none")]
mod machine_check;
#[cfg(target_os = "none")]
pub(crate) mod memory;
#[cfg(target_os = "none")]
mod memory_functions;
#[cfg(target_os = "none")]
mod msi;
#[cfg(target_os = "none")]
pub(crate) mod msi_map;
#[cfg(target_os = "none")]
mod msr;
#[cfg(target_os = "none")]
mod paging;
#[cfg(target_os = "none")]
pub(crate) mod pci;
#[cfg(target_os = "none")]
mod per_domain;
#[cfg(target_os = "none")]
pub(crate) mod percpu;
#[cfg(all(target_os = "none", feature = "planted-faults"))]
pub(crate) mod planted;
#[cfg(target_os = "none")]
mod port;
#[cfg(target_os = "none")]
pub(crate) mod power;
#[cfg(target_os = "none")]
pub(crate) mod processors;
#[cfg(target_os = "none")]
pub(crate) mod rendezvous;
#[cfg(target_os = "none")]
pub(crate) mod scheduler;
#[cfg(target_os = "none")]
mod serial;
#[cfg(target_os = "none")]
pub(crate) mod shared;
#[cfg(target_os = "none")]
mod smap;
#[cfg(target_os = "none")]
mod smp;
#[cfg(target_os = "none")]
mod symbols;
#[cfg(target_os = "none")]
mod tables;
#[cfg(target_os = "none")]
pub(crate) mod timers;
#[cfg(target_os = "none")]
pub(crate) mod tlb;
#[cfg(target_os = "none")]
mod traps;
#[cfg(target_os = "none")]
mod vga;
#[cfg(target_os = "none")]
pub(crate) mod wall_clock;
#[cfg(target_os = "none")]
mod watchdog;

#[cfg(target_os = "none")]
pub(crate) use fpu::FpuArea;
#[cfg(target_os = "none")]
pub(crate) use per_domain::PerDomainArea;

/// Whether a device of the hypervisor's own has some of the I/O ports `first` to `last`: interrupt
/// controllers, interval timer, and the serial line of the console.
#[cfg(target_os = "none")]
pub(crate) fn owns_port(first: u32, last: u32) -> bool {
    let overlaps = |from: u32, to: u32| first <= to && last >= from;
    overlaps(0x20, 0x21)
        || overlaps(0xa0, 0xa1)
        || overlaps(0x40, 0x43)
        || serial::owns_port(first, last)
}
#[cfg(target_os = "none")]
pub(crate) use frames::table as frame_table;
