//! What the processor offers, and the control registers that follow from it.

use super::msr;
use crate::cpu_policy::cpuid::Vendor;
use crate::cpu_policy::floating_point;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use x86_64::registers::control::{Cr0, Cr0Flags, Cr4, Cr4Flags};

/// What a guest of the ABI finds in the PAT register: WB, WT, UC-, UC, WC, WP, UC, UC.
const PAT_VALUE: u64 = 0x0000_0501_0007_0406;

bitflags::bitflags! {
    /// Features that change what the hypervisor does.
    #[derive(Clone, Copy, PartialEq, Eq)]
    pub(super) struct Features: u64 {
        const NX = 1 << 0;
        const PAGE_1G = 1 << 1;
        const SMEP = 1 << 2;
        const SMAP = 1 << 3;
        const UMIP = 1 << 4;
        const X2APIC = 1 << 5;
        const TSC_DEADLINE = 1 << 6;
        const INVARIANT_TSC = 1 << 7;
        const FSGSBASE = 1 << 8;
        const XSAVE = 1 << 9;
        const MWAIT = 1 << 10;
        const HYPERVISOR = 1 << 11;
        const PCID = 1 << 12;
        const INVPCID = 1 << 13;
        const ARAT = 1 << 14;
        const MCE = 1 << 15;
        const RDTSCP = 1 << 16;
        const XSAVEOPT = 1 << 17;
        /// Restoring x87 state replaces the pointers to the last instruction, too.
        const X87_POINTERS = 1 << 18;
    }
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, _)) in self.iter_names().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(name)?;
        }
        Ok(())
    }
}

/// What all processors share, as found on the first one.
static FEATURES: AtomicU64 = AtomicU64::new(0);

/// The features of the machine.
pub(super) fn get() -> Features {
    Features::from_bits_truncate(FEATURES.load(Ordering::Relaxed))
}

/// What this processor offers.
fn detect() -> Features {
    let one = msr::cpuid(1, 0);
    let six = msr::cpuid(6, 0);
    let seven = msr::cpuid(7, 0);
    let extended = msr::cpuid(0x8000_0001, 0);
    let power = msr::cpuid(0x8000_0007, 0);
    let states = msr::cpuid(0xd, 1);
    let restores_pointers = floating_point::restores_pointers(
        Vendor::of(&super::processors::Host),
        msr::cpuid(0x8000_0008, 0).ebx,
    );
    let table = [
        (Features::NX, extended.edx, 20),
        (Features::PAGE_1G, extended.edx, 26),
        (Features::SMEP, seven.ebx, 7),
        (Features::SMAP, seven.ebx, 20),
        (Features::UMIP, seven.ecx, 2),
        (Features::X2APIC, one.ecx, 21),
        (Features::TSC_DEADLINE, one.ecx, 24),
        (Features::INVARIANT_TSC, power.edx, 8),
        (Features::FSGSBASE, seven.ebx, 0),
        (Features::XSAVE, one.ecx, 26),
        (Features::MWAIT, one.ecx, 3),
        (Features::HYPERVISOR, one.ecx, 31),
        (Features::PCID, one.ecx, 17),
        (Features::INVPCID, seven.ebx, 10),
        (Features::ARAT, six.eax, 2),
        (Features::MCE, one.edx, 7),
        (Features::RDTSCP, extended.edx, 27),
        (Features::XSAVEOPT, states.eax, 0),
        (Features::X87_POINTERS, u32::from(restores_pointers), 0),
    ];
    table
        .into_iter()
        .fold(Features::empty(), |set, (feature, word, bit)| {
            if word >> bit & 1 != 0 {
                set | feature
            } else {
                set
            }
        })
}

/// A feature that the design rests on and the processor lacks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Missing(&'static str);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the processor has no {}, which the hypervisor needs",
            self.0
        )
    }
}

/// Looks at the first processor.
pub(super) fn find() -> Result<Features, Missing> {
    let one = msr::cpuid(1, 0);
    let needed = [
        (one.edx, 4, "time-stamp counter"),
        (one.edx, 5, "model-specific registers"),
        (one.edx, 9, "local APIC"),
        (one.edx, 13, "global pages (PGE)"),
        (one.edx, 16, "page attribute table (PAT)"),
        (one.edx, 24, "FXSAVE"),
        (one.edx, 26, "SSE2"),
        (msr::cpuid(0x8000_0001, 0).edx, 11, "SYSCALL"),
    ];
    if let Some((_, _, name)) = needed
        .into_iter()
        .find(|(word, bit, _)| word >> bit & 1 == 0)
    {
        return Err(Missing(name));
    }
    let found = detect();
    FEATURES.store(found.bits(), Ordering::Relaxed);
    Ok(found)
}

/// CR4 as the hypervisor runs with it: every processor has the same.
static CR4: AtomicU64 = AtomicU64::new(0);

/// CR4 as the hypervisor runs with it.
pub(super) fn hypervisor_cr4() -> u64 {
    CR4.load(Ordering::Relaxed)
}

/// Sets the control registers of this processor, the same on every one. Says whether it lacks something
/// that the first one has.
///
/// # Safety
/// The page tables in use mark every mapping as the flags set here want it: the hypervisor's own pages are
/// supervisor pages (SMEP, SMAP), read-only ones are never written (WP).
pub(super) unsafe fn set_up_processor() -> Result<(), Features> {
    let wanted = get();
    let lacks = wanted.difference(detect());
    if !lacks.is_empty() {
        return Err(lacks);
    }
    let mut cr4 = Cr4Flags::PHYSICAL_ADDRESS_EXTENSION
        | Cr4Flags::PAGE_GLOBAL
        | Cr4Flags::OSFXSR
        | Cr4Flags::OSXMMEXCPT_ENABLE;
    for (feature, flag) in [
        (Features::MCE, Cr4Flags::MACHINE_CHECK_EXCEPTION),
        (
            Features::SMEP,
            Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION,
        ),
        (Features::SMAP, Cr4Flags::SUPERVISOR_MODE_ACCESS_PREVENTION),
        (Features::UMIP, Cr4Flags::USER_MODE_INSTRUCTION_PREVENTION),
        (Features::FSGSBASE, Cr4Flags::FSGSBASE),
        (Features::XSAVE, Cr4Flags::OSXSAVE),
    ] {
        if wanted.contains(feature) {
            cr4 |= flag;
        }
    }
    let cr0 = Cr0Flags::PAGING
        | Cr0Flags::WRITE_PROTECT
        | Cr0Flags::NUMERIC_ERROR
        | Cr0Flags::EXTENSION_TYPE
        | Cr0Flags::MONITOR_COPROCESSOR
        // For guests: ring 0 is not checked.
        | Cr0Flags::ALIGNMENT_MASK
        | Cr0Flags::PROTECTED_MODE_ENABLE;
    // SAFETY: every flag is for a feature that is there; the page tables are the caller's duty. EFER keeps
    // long mode, which is on; the PAT value is legal and no mapping uses an entry that it changes yet but
    // UC- (2) and UC (3), which keep their meaning.
    unsafe {
        Cr0::write_raw(cr0.bits());
        Cr4::write_raw(cr4.bits());
        CR4.store(cr4.bits(), Ordering::Relaxed);
        msr::write(
            msr::EFER,
            msr::read(msr::EFER) | msr::EFER_SCE | msr::EFER_NXE,
        );
        msr::write(msr::PAT, PAT_VALUE);
    }
    Ok(())
}

/// Vendor and brand of the processor, for the banner.
pub(super) struct Name;

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0u8; 48];
        for (leaf, chunk) in (0x8000_0002u32..).zip(bytes.chunks_exact_mut(16)) {
            let words = msr::cpuid(leaf, 0);
            for (word, four) in [words.eax, words.ebx, words.ecx, words.edx]
                .into_iter()
                .zip(chunk.chunks_exact_mut(4))
            {
                four.copy_from_slice(&word.to_le_bytes());
            }
        }
        let end = bytes
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(bytes.len());
        let text = core::str::from_utf8(bytes.get(..end).unwrap_or(&[])).unwrap_or("");
        f.write_str(if text.trim().is_empty() {
            "unnamed"
        } else {
            text.trim()
        })
    }
}

/// Width of machine addresses in bits.
pub(super) fn address_bits() -> u32 {
    match msr::cpuid(0x8000_0008, 0).eax & 0xff {
        0 => 36,
        bits => bits.min(52),
    }
}
