//! Model-specific registers, the time-stamp counter and CPUID.

use core::arch::asm;
use core::arch::x86_64::{__cpuid_count, _rdtsc, CpuidResult};

pub(super) const APIC_BASE: u32 = 0x1b;
pub(super) const PAT: u32 = 0x277;
pub(super) const TSC_DEADLINE: u32 = 0x6e0;
pub(super) const X2APIC_FIRST: u32 = 0x800;
pub(super) const EFER: u32 = 0xc000_0080;

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
    let highest = __cpuid_count(leaf & 0xf000_0000, 0).eax;
    if leaf > highest {
        return CpuidResult {
            eax: 0,
            ebx: 0,
            ecx: 0,
            edx: 0,
        };
    }
    __cpuid_count(leaf, subleaf)
}
