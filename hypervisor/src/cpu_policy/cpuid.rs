//! What `CPUID` answers.

use super::cpuid_leaves::{basic_max, extended_leaf, extended_max, leaf_1, leaf_7};
use super::{GuestMode, Policy, xstate};
use guest_abi::hypervisor_cpuid as abi;

/// The four registers that `CPUID` returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)] // The names are the architecture's own.
pub struct Leaf {
    pub eax: u32,
    pub ebx: u32,
    pub ecx: u32,
    pub edx: u32,
}

impl Leaf {
    /// What a leaf that isn't there reads as.
    pub const ZERO: Self = Self {
        eax: 0,
        ebx: 0,
        ecx: 0,
        edx: 0,
    };
}

/// The processor's own answers.
pub trait HostCpuid {
    /// What `CPUID` returns in the hypervisor.
    fn leaf(&self, leaf: u32, subleaf: u32) -> Leaf;
}

/// Who made the processor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Vendor {
    /// Intel.
    Intel,
    /// AMD, or Hygon, which follows AMD.
    Amd,
    /// Anyone else.
    Other,
}

impl Vendor {
    /// Reads the vendor string.
    #[must_use]
    pub fn of(host: &impl HostCpuid) -> Self {
        let leaf = host.leaf(0, 0);
        let mut name = [0; 12];
        let words = [leaf.ebx, leaf.edx, leaf.ecx]
            .into_iter()
            .flat_map(u32::to_le_bytes);
        for (byte, value) in name.iter_mut().zip(words) {
            *byte = value;
        }
        match &name {
            b"GenuineIntel" => Self::Intel,
            b"AuthenticAMD" | b"HygonGenuine" => Self::Amd,
            _ => Self::Other,
        }
    }
}

/// How the `CPUID` came to be emulated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CpuidOrigin {
    /// Marked by the forced-emulation prefix.
    Forced,
    /// Unmarked; the processor was told to raise #GP for it.
    Faulting,
}

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CpuidCaller {
    /// Whether the domain owns the hardware.
    pub is_dom0: bool,
    /// Kernel or user.
    pub mode: GuestMode,
    /// Marked or trapped.
    pub origin: CpuidOrigin,
}

/// How a guest's time stamps come about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TscInfo {
    /// Whether `RDTSC` is emulated.
    pub is_emulated: bool,
    /// Whether the host's counters are in step and never stop.
    pub is_host_reliable: bool,
    /// What the domain has been configured for.
    pub mode: abi::TscMode,
    /// Frequency that the guest sees, in kHz.
    pub guest_khz: u32,
    /// Frequency of the host's counter, in kHz.
    pub host_khz: u32,
    /// How often the guest has been migrated.
    pub incarnation: u32,
    /// Offset from the host's counter to the guest's time, in ns.
    pub offset_ns: u64,
    /// Multiplier from ticks to ns, a binary fraction of 2^-32.
    pub multiplier: u32,
    /// Shift of ticks before the multiplication; negative is to the right.
    pub shift: i8,
}

impl Default for TscInfo {
    /// Native, nothing known.
    fn default() -> Self {
        Self {
            is_emulated: false,
            is_host_reliable: false,
            mode: abi::TscMode::Default,
            guest_khz: 0,
            host_khz: 0,
            incarnation: 0,
            offset_ns: 0,
            multiplier: 0,
            shift: 0,
        }
    }
}

/// The part of a virtual processor's state that shows in `CPUID`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CpuidState {
    /// Virtual CR4.
    pub cr4: u64,
    /// XCR0 as the guest has set it.
    pub xcr0: u64,
    /// Time stamps.
    pub tsc: TscInfo,
}

/// What the guest sees of `leaf` and `subleaf`.
#[must_use]
#[inline(always)]
pub fn guest_cpuid(
    host: &impl HostCpuid,
    policy: &Policy,
    caller: CpuidCaller,
    state: &CpuidState,
    leaf: u32,
    subleaf: u32,
) -> Leaf {
    match leaf {
        abi::FIRST_LEAF..=0x4FFF_FFFF => hypervisor_leaf(policy, state, leaf, subleaf),
        0x8000_0000..=0xFFFF_FFFF => {
            if leaf > extended_max(host) {
                return Leaf::ZERO;
            }
            extended_leaf(host, policy, caller, state, leaf)
        }
        0 => {
            let first = host.leaf(0, 0);
            Leaf {
                eax: basic_max(first),
                ..first
            }
        }
        _ if leaf > basic_max(host.leaf(0, 0)) => Leaf::ZERO,
        1 => leaf_1(host, policy, caller, state),
        2 => host.leaf(2, 0),
        // Every virtual processor is a package of its own: one core, nothing shared with another.
        4 => {
            let caches = host.leaf(4, subleaf);
            Leaf {
                eax: caches.eax & 0x3FFF,
                ..caches
            }
        }
        7 => leaf_7(host, policy, subleaf),
        0xB => Leaf {
            ecx: subleaf & 0xFF,
            ..Leaf::ZERO
        },
        0xD => xstate::leaf_d(host, subleaf, policy.xcr0_permitted, state.xcr0),
        // Among them MONITOR, power management, performance counters.
        _ => Leaf::ZERO,
    }
}

fn hypervisor_leaf(policy: &Policy, state: &CpuidState, leaf: u32, subleaf: u32) -> Leaf {
    let tsc = &state.tsc;
    match (leaf.wrapping_sub(abi::FIRST_LEAF), subleaf) {
        (0, _) => Leaf {
            eax: abi::FIRST_LEAF + abi::MAX_NUM_LEAVES,
            ebx: abi::SIGNATURE_EBX,
            ecx: abi::SIGNATURE_ECX,
            edx: abi::SIGNATURE_EDX,
        },
        (abi::LEAF_VERSION, _) => {
            let (major, minor) = policy.interface_version;
            Leaf {
                eax: u32::from(major) << 16 | u32::from(minor),
                ..Leaf::ZERO
            }
        }
        (abi::LEAF_HYPERCALL, _) => Leaf {
            eax: 1,
            ebx: abi::MSR_HYPERCALL_PAGE,
            ecx: abi::LeafFeatures::MMU_PT_UPDATE_PRESERVE_AD.bits(),
            edx: 0,
        },
        (abi::LEAF_TIME, 0) => {
            let mut flags = abi::TimeFlags::empty();
            flags.set(abi::TimeFlags::VTSC, tsc.is_emulated);
            flags.set(abi::TimeFlags::HOST_TSC_SAFE, tsc.is_host_reliable);
            flags.set(abi::TimeFlags::RDTSCP, policy.has_tsc_aux);
            Leaf {
                eax: flags.bits(),
                ebx: tsc.mode as u32,
                ecx: tsc.guest_khz,
                edx: tsc.incarnation,
            }
        }
        (abi::LEAF_TIME, 1) => Leaf {
            eax: tsc.offset_ns as u32,
            ebx: (tsc.offset_ns >> 32) as u32,
            ecx: tsc.multiplier,
            edx: i32::from(tsc.shift) as u32,
        },
        (abi::LEAF_TIME, 2) => Leaf {
            eax: tsc.host_khz,
            ..Leaf::ZERO
        },
        (abi::LEAF_PV, 0) => {
            let width = u32::from(policy.machine_address_width);
            Leaf {
                ebx: width.min(abi::MAX_ADDRESS_WIDTH_FOR_GRANT_V1),
                ..Leaf::ZERO
            }
        }
        _ => Leaf::ZERO,
    }
}
