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

pub mod address_space;
pub mod bitmap;
pub mod blkif;
pub mod callback_op;
pub mod console_io;
pub mod console_ring;
pub mod cpu_policy;
pub mod dev_evtchn;
pub mod dev_gntalloc;
pub mod dev_gntdev;
pub mod dev_privcmd;
pub mod dev_store;
pub mod device_state;
pub mod domctl;
pub mod domctl_device;
pub mod domctl_domain;
pub mod domctl_memory;
pub mod domctl_vcpu;
pub mod elf_note;
pub mod errno;
pub mod event_channel;
pub mod features;
pub mod fifo_events;
pub mod grant_op;
pub mod grant_table;
pub mod hypercall;
pub mod hypervisor_cpuid;
pub mod ids;
pub mod mca;
pub mod memory_map;
pub mod memory_op;
pub mod mmu;
pub mod multicall;
pub mod netif;
pub mod netif_control;
pub mod payload;
pub mod pciif;
pub mod physdev;
pub mod platform;
pub mod platform_firmware;
pub mod platform_power;
pub mod pmu;
pub mod ring;
pub mod save_stream;
pub mod sched_op;
pub mod segment;
pub mod shared_info;
pub mod start_of_day;
pub mod store_ring;
pub mod store_wire;
pub mod sysctl;
pub mod sysctl_cpu;
pub mod sysctl_power;
pub mod table;
pub mod time;
pub mod trap;
mod unknown_number;
pub mod vcpu_context;
pub mod vcpu_op;
pub mod version;
pub mod vga;
pub mod vm_assist;

pub use unknown_number::UnknownNumber;

/// The tables of all modules.
pub const INTERFACES: &[&table::Interface] = &[
    &address_space::TABLE,
    &bitmap::TABLE,
    &blkif::TABLE,
    &callback_op::TABLE,
    &console_io::TABLE,
    &console_ring::TABLE,
    &cpu_policy::TABLE,
    &dev_evtchn::TABLE,
    &dev_gntalloc::TABLE,
    &dev_gntdev::TABLE,
    &dev_privcmd::TABLE,
    &dev_store::TABLE,
    &device_state::TABLE,
    &domctl::TABLE,
    &domctl_device::TABLE,
    &domctl_domain::TABLE,
    &domctl_memory::TABLE,
    &domctl_vcpu::TABLE,
    &elf_note::TABLE,
    &errno::TABLE,
    &event_channel::TABLE,
    &features::TABLE,
    &fifo_events::TABLE,
    &grant_op::TABLE,
    &grant_table::TABLE,
    &hypercall::TABLE,
    &hypervisor_cpuid::TABLE,
    &ids::TABLE,
    &mca::TABLE,
    &memory_map::TABLE,
    &memory_op::TABLE,
    &mmu::TABLE,
    &multicall::TABLE,
    &netif::TABLE,
    &netif_control::TABLE,
    &pciif::TABLE,
    &physdev::TABLE,
    &platform::TABLE,
    &platform_firmware::TABLE,
    &platform_power::TABLE,
    &pmu::TABLE,
    &ring::TABLE,
    &save_stream::TABLE,
    &sched_op::TABLE,
    &segment::TABLE,
    &shared_info::TABLE,
    &start_of_day::TABLE,
    &store_ring::TABLE,
    &store_wire::TABLE,
    &sysctl::TABLE,
    &sysctl_cpu::TABLE,
    &sysctl_power::TABLE,
    &time::TABLE,
    &trap::TABLE,
    &vcpu_context::TABLE,
    &vcpu_op::TABLE,
    &version::TABLE,
    &vga::TABLE,
    &vm_assist::TABLE,
];
