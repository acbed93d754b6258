//! Privileged instructions in the kernel: emulated one by one, or refused.

pub(crate) mod cache;
pub(crate) mod clts;
pub(crate) mod code_with_base;
pub(crate) mod cpuid;
pub(crate) mod cpuid_hypervisor;
pub(crate) mod cr0;
pub(crate) mod cr2;
pub(crate) mod cr3;
pub(crate) mod cr4;
pub(crate) mod data_with_base;
pub(crate) mod debug_registers;
pub(crate) mod interrupt_flag;
pub(crate) mod invd;
pub(crate) mod io_bitmap;
pub(crate) mod io_privilege;
pub(crate) mod io_strings;
pub(crate) mod mark_with_base;
pub(crate) mod msr_bases;
pub(crate) mod msr_efer;
pub(crate) mod msr_known;
pub(crate) mod msr_unknown;
pub(crate) mod operands;
pub(crate) mod refused;
pub(crate) mod time_stamp;
pub(crate) mod unfetchable;
pub(crate) mod xsetbv;

/// A present segment of 32-bit code of level 3, with a base below 4 GiB and a limit in bytes.
const fn based_code(base: u64, limit: u64) -> u64 {
    0x0040_fb00_0000_0000
        | (base & 0xff_ffff) << 16
        | (base >> 24 & 0xff) << 56
        | limit & 0xffff
        | (limit >> 16 & 0xf) << 48
}
