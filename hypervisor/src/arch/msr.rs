//! Model-specific registers, the time-stamp counter and CPUID.

use core::arch::asm;
use core::arch::x86_64::{__cpuid_count, _rdtsc, CpuidResult};

pub(super) const APIC_BASE: u32 = 0x1b;
pub(super) const SYSENTER_CS: u32 = 0x174;
pub(super) const SYSENTER_ESP: u32 = 0x175;
pub(super) const SYSENTER_EIP: u32 = 0x176;
pub(super) const PAT: u32 = 0x277;
pub(super) const TSC_DEADLINE: u32 = 0x6e0;
pub(super) const X2APIC_FIRST: u32 = 0x800;
pub(super) const EFER: u32 = 0xc000_0080;
pub(super) const STAR: u32 = 0xc000_0081;
pub(super) const LSTAR: u32 = 0xc000_0082;
pub(super) const CSTAR: u32 = 0xc000_0083;
pub(super) const FMASK: u32 = 0xc000_0084;
pub(super) const FS_BASE: u32 = 0xc000_0100;
pub(super) const GS_BASE: u32 = 0xc000_0101;
pub(super) const KERNEL_GS_BASE: u32 = 0xc000_0102;
pub(super) const TSC_AUX: u32 = 0xc000_0103;

/// Extended features: system calls and no-execute.
pub(super) const EFER_SCE: u64 = 1 << 0;
pub(super) const EFER_NXE: u64 = 1 << 11;

/// Reads the model-specific register `index`.
///
/// # Safety
/// The register exists on this processor (a read of another raises #GP).
pub(super) unsafe fn read(index: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: the register exists (caller).
    unsafe {
        asm!("rdmsr", in("ecx") index, out("eax") low, out("edx") high,
             options(nomem, nostack, preserves_flags));
    }
    u64::from(high) << 32 | u64::from(low)
}

/// Writes the model-specific register `index`.
///
/// # Safety
/// The register exists, `value` is legal for it, and what it changes is the caller's to change.
pub(super) unsafe fn write(index: u32, value: u64) {
    // SAFETY: caller. `nomem` is not claimed: some registers change how memory is seen.
    unsafe {
        asm!("wrmsr", in("ecx") index, in("eax") value as u32, in("edx") (value >> 32) as u32,
             options(nostack, preserves_flags));
    }
}

/// The time-stamp counter, not ordered against other instructions.
pub(super) fn tsc() -> u64 {
    // SAFETY: RDTSC exists on every 64-bit processor and CR4.TSD does not bind ring 0.
    unsafe { _rdtsc() }
}

/// CPUID, with all zeros for a leaf above the highest that the processor has in its range.
pub(super) fn cpuid(leaf: u32, subleaf: u32) -> CpuidResult {
    let range = leaf & 0xf000_0000;
    // A CPUID is dear where an outer hypervisor answers it. The first of a range is always there.
    if leaf > range && leaf > __cpuid_count(range, 0).eax {
        return CpuidResult {
            eax: 0,
            ebx: 0,
            ecx: 0,
            edx: 0,
        };
    }
    __cpuid_count(leaf, subleaf)
}

/// Reads the model-specific register `index`, if the processor has it.
pub(super) fn read_if_there(index: u32) -> Option<u64> {
    let (low, high, ok): (u32, u32, u32);
    // SAFETY: a register that is not there faults, and goes on at label 3 (exception table).
    unsafe {
        asm!(
            "2: rdmsr",
            "mov {ok:e}, 1",
            "3:",
            ".pushsection .extable, \"a\", @progbits",
            ".balign 4",
            ".long 2b - .",
            ".long 3b - .",
            ".popsection",
            ok = inout(reg) 0u32 => ok,
            in("ecx") index,
            out("eax") low,
            out("edx") high,
            options(nostack),
        );
    }
    (ok != 0).then_some(u64::from(high) << 32 | u64::from(low))
}

/// Writes the model-specific register `index`, if the processor has it and lets it have this value.
///
/// # Safety
/// What the register changes is the caller's to change.
pub(super) unsafe fn write_if_there(index: u32, value: u64) {
    // SAFETY: a register that is not there, or refuses the value, faults, and goes on at label 3 (exception table).
    unsafe {
        asm!(
            "2: wrmsr",
            "3:",
            ".pushsection .extable, \"a\", @progbits",
            ".balign 4",
            ".long 2b - .",
            ".long 3b - .",
            ".popsection",
            in("ecx") index,
            in("eax") value as u32,
            in("edx") (value >> 32) as u32,
            options(nostack),
        );
    }
}
