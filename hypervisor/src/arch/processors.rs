//! The machine's processors, as the first domain and the tools ask about them.

use super::{boot, clock, msr, scheduler, smp};
use crate::control::policy::Mask;
use crate::cpu_policy::cpuid::{
    self, CpuidCaller, CpuidOrigin, CpuidState, HostCpuid, Leaf, TscInfo,
};
use crate::cpu_policy::{GuestMode, Policy};
use crate::platform::operation::{Ids, Version};

/// The processor's own CPUID.
pub(crate) struct Host;

impl HostCpuid for Host {
    fn leaf(&self, leaf: u32, subleaf: u32) -> Leaf {
        let words = msr::cpuid(leaf, subleaf);
        Leaf {
            eax: words.eax,
            ebx: words.ebx,
            ecx: words.ecx,
            edx: words.edx,
        }
    }
}

/// The clocks as CPUID shows them.
pub(super) fn tsc_info() -> TscInfo {
    let khz = clock::tsc_khz() as u32;
    TscInfo {
        guest_khz: khz,
        host_khz: khz,
        ..TscInfo::default()
    }
}

/// What the kernel of a domain sees that has set nothing up yet.
pub(crate) fn guest_leaf(
    policy: &Policy,
    is_dom0: bool,
    features: &Mask,
    leaf: u32,
    subleaf: u32,
) -> Leaf {
    let caller = CpuidCaller {
        is_dom0,
        mode: GuestMode::Kernel,
        origin: CpuidOrigin::Faulting,
    };
    let state = CpuidState {
        cr4: 0,
        xcr0: policy.xcr0_permitted,
        tsc: tsc_info(),
    };
    let answer = cpuid::guest_cpuid(&Host, policy, caller, &state, leaf, subleaf);
    features.apply(leaf, subleaf, answer)
}

/// How many threads and cores come together.
pub(crate) struct Topology {
    pub(crate) threads_per_core: u32,
    pub(crate) cores_per_socket: u32,
}

/// As the first processor says; all others are like it.
pub(crate) fn topology() -> Topology {
    let (threads, logical) = shifts();
    Topology {
        threads_per_core: 1 << threads,
        cores_per_socket: 1 << (logical - threads),
    }
}

/// Bits of an APIC number that tell threads of a core, and processors of a socket (leaf 0xB, or 1 and 4).
fn shifts() -> (u32, u32) {
    if msr::cpuid(0, 0).eax >= 0xB && msr::cpuid(0xB, 0).ebx & 0xffff != 0 {
        let threads = msr::cpuid(0xB, 0).eax & 0x1f;
        let logical = msr::cpuid(0xB, 1).eax & 0x1f;
        return (threads, logical.max(threads));
    }
    (0, 0)
}

/// Core and socket of processor `cpu`, if it runs.
pub(crate) fn place(cpu: u32) -> Option<(u32, u32)> {
    let (threads, logical) = shifts();
    let apic = find(cpu)?.apic;
    let in_socket = apic & ((1 << logical) - 1);
    Some((in_socket >> threads, apic.checked_shr(logical).unwrap_or(0)))
}

/// How many run.
pub(crate) fn count() -> u32 {
    smp::online().count() as u32
}

/// For how long processor `cpu` has slept, in ns.
pub(crate) fn idle_ns(cpu: u32) -> u64 {
    scheduler::idle_ns(cpu)
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
