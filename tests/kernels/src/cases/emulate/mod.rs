//! Privileged instructions in the kernel: emulated one by one, or refused.

pub(crate) mod cache;
pub(crate) mod clts;
pub(crate) mod cpuid;
pub(crate) mod cpuid_hypervisor;
pub(crate) mod cr0;
pub(crate) mod cr2;
pub(crate) mod cr3;
pub(crate) mod cr4;
pub(crate) mod debug_registers;
pub(crate) mod interrupt_flag;
pub(crate) mod invd;
pub(crate) mod io_bitmap;
pub(crate) mod io_privilege;
pub(crate) mod io_strings;
pub(crate) mod msr_bases;
pub(crate) mod msr_efer;
pub(crate) mod msr_known;
pub(crate) mod msr_unknown;
pub(crate) mod operands;
pub(crate) mod refused;
pub(crate) mod time_stamp;
pub(crate) mod unfetchable;
pub(crate) mod xsetbv;
