//! The machine's processors, as the first domain and the tools ask about them.

use super::{boot, msr, smp};

/// Numbers of a processor in other people's books.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ids {
    /// Its local APIC's.
    pub(crate) apic: u32,
    /// In the ACPI namespace.
    pub(crate) acpi: u32,
}

/// What CPUID says that a processor is.
pub(crate) struct Version {
    /// `GenuineIntel`, `AuthenticAMD`, …
    pub(crate) vendor: [u8; 12],
    pub(crate) family: u32,
    pub(crate) model: u32,
    pub(crate) stepping: u32,
}

/// Processor `cpu`, if it runs.
pub(crate) fn find(cpu: u32) -> Option<Ids> {
    let (_, apic) = smp::online().find(|&(number, _)| number == cpu)?;
    Some(Ids {
        apic,
        acpi: boot::acpi_number(apic).unwrap_or(u32::MAX),
    })
}

/// The highest number of a processor that runs.
pub(crate) fn highest() -> u32 {
    smp::online().map(|(number, _)| number).max().unwrap_or(0)
}

/// What they are (Intel SDM, volume 2, CPUID: "extended" family and model).
pub(crate) fn version() -> Version {
    let leaf = msr::cpuid(0, 0);
    let mut vendor = [0; 12];
    for (to, from) in vendor
        .chunks_exact_mut(4)
        .zip([leaf.ebx, leaf.edx, leaf.ecx])
    {
        to.copy_from_slice(&from.to_le_bytes());
    }
    let signature = msr::cpuid(1, 0).eax;
    let base = signature >> 8 & 0xf;
    let family = if base == 0xf {
        base + (signature >> 20 & 0xff)
    } else {
        base
    };
    let mut model = signature >> 4 & 0xf;
    if base == 0xf || base == 6 {
        model |= signature >> 12 & 0xf0;
    }
    Version {
        vendor,
        family,
        model,
        stepping: signature & 0xf,
    }
}
