//! The standard and extended CPUID leaves that have feature bits: which bits guests see.

use super::cpuid::{CpuidCaller, CpuidOrigin, CpuidState, HostCpuid, Leaf, Vendor};
use super::cpuid_bits::{
    leaf_1_ecx, leaf_1_edx, leaf_7_1_eax, leaf_7_2_edx, leaf_7_ebx, leaf_7_ecx, leaf_7_edx,
    leaf_80000001_ecx, leaf_80000001_edx, leaf_80000007_edx, leaf_80000008_ebx, leaf_80000021_eax,
    leaf_80000021_ecx,
};
use super::{GuestMode, Policy, control, xstate};

/// Last standard and extended leaf that we have rules for.
const MAX_BASIC: u32 = 0xD;
const MAX_EXTENDED: u32 = 0x8000_0021;
/// Linear-address width without five-level paging, in bits.
const LINEAR_ADDRESS_WIDTH: u32 = 48;

/// The last standard leaf, given the host's first.
pub(super) fn basic_max(first: Leaf) -> u32 {
    first.eax.min(MAX_BASIC)
}

pub(super) fn extended_max(host: &impl HostCpuid) -> u32 {
    let max = host.leaf(0x8000_0000, 0).eax.min(MAX_EXTENDED);
    if max < 0x8000_0000 { 0 } else { max }
}

/// Which features go away because their registers aren't offered.
struct Vectors {
    has_xsave: bool,
    has_avx: bool,
    has_avx512: bool,
}

impl Vectors {
    const fn of(policy: &Policy) -> Self {
        let permitted = policy.xcr0_permitted;
        Self {
            has_xsave: permitted != 0,
            has_avx: permitted & xstate::AVX != 0,
            has_avx512: permitted & xstate::AVX512 == xstate::AVX512,
        }
    }

    /// The features of a register, by the state that they need.
    const fn shown(&self, plain: u32, avx: u32, avx512: u32) -> u32 {
        let mut shown = plain;
        if self.has_avx {
            shown |= avx;
        }
        if self.has_avx512 {
            shown |= avx512;
        }
        shown
    }
}

pub(super) fn leaf_1(
    host: &impl HostCpuid,
    policy: &Policy,
    caller: CpuidCaller,
    state: &CpuidState,
) -> Leaf {
    let leaf = host.leaf(1, 0);
    let vectors = Vectors::of(policy);
    let is_dom0_kernel = caller.is_dom0 && caller.mode == GuestMode::Kernel;

    let mut edx = leaf.edx & leaf_1_edx_shown(policy);
    if is_dom0_kernel {
        // It manages power states for us, and judges by these whether there are any.
        edx |= leaf.edx & leaf_1_edx::ACPI;
    }
    // A kernel without it ignores the interrupt controllers that dom0 has to set up.
    edx |= leaf_1_edx::APIC;
    if policy.vendor == Vendor::Amd {
        // These processors have no SYSENTER in long mode.
        edx &= !leaf_1_edx::SEP;
    }

    let mut ecx = leaf.ecx & LEAF_1_ECX;
    if vectors.has_xsave {
        ecx |= leaf.ecx & vectors.shown(leaf_1_ecx::XSAVE, LEAF_1_ECX_AVX, 0);
        // Kernels look for OSXSAVE before they have set CR4.OSXSAVE, because it used to leak through from the
        // hypervisor's CR4; without it they give up XSAVE.
        let is_leak_expected =
            caller.origin == CpuidOrigin::Forced && caller.mode == GuestMode::Kernel;
        if ecx & leaf_1_ecx::XSAVE != 0
            && (is_leak_expected || state.cr4 & control::CR4_OSXSAVE != 0)
        {
            ecx |= leaf_1_ecx::OSXSAVE;
        }
    }
    if is_dom0_kernel {
        ecx |= leaf.ecx & leaf_1_ecx::EST;
    }
    ecx |= leaf_1_ecx::HYPERVISOR;

    // Brand index and cache line size as they are; one logical processor, APIC ID 0.
    Leaf {
        eax: leaf.eax,
        ebx: (leaf.ebx & 0xFFFF) | (1 << 16),
        ecx,
        edx,
    }
}

const fn leaf_1_edx_shown(policy: &Policy) -> u32 {
    let shown = leaf_1_edx::FPU
        | leaf_1_edx::DE
        | leaf_1_edx::TSC
        | leaf_1_edx::MSR
        | leaf_1_edx::PAE
        | leaf_1_edx::CX8
        | leaf_1_edx::SEP
        | leaf_1_edx::CMOV
        | leaf_1_edx::PAT
        | leaf_1_edx::CLFLUSH
        | leaf_1_edx::MMX
        | leaf_1_edx::FXSR
        | leaf_1_edx::SSE
        | leaf_1_edx::SSE2
        | leaf_1_edx::SELF_SNOOP;
    if policy.has_machine_check {
        shown | leaf_1_edx::MCE | leaf_1_edx::MCA
    } else {
        shown
    }
}

const LEAF_1_ECX: u32 = leaf_1_ecx::SSE3
    | leaf_1_ecx::PCLMULQDQ
    | leaf_1_ecx::SSSE3
    | leaf_1_ecx::CX16
    | leaf_1_ecx::SSE4_1
    | leaf_1_ecx::SSE4_2
    | leaf_1_ecx::MOVBE
    | leaf_1_ecx::POPCNT
    | leaf_1_ecx::AESNI
    | leaf_1_ecx::RDRAND;
const LEAF_1_ECX_AVX: u32 = leaf_1_ecx::AVX | leaf_1_ecx::FMA | leaf_1_ecx::F16C;

pub(super) fn leaf_7(host: &impl HostCpuid, policy: &Policy, subleaf: u32) -> Leaf {
    let vectors = Vectors::of(policy);
    let speculation = &policy.speculation;
    let max_subleaf = host.leaf(7, 0).eax.min(2);
    if subleaf > max_subleaf {
        return Leaf::ZERO;
    }
    let leaf = host.leaf(7, subleaf);
    match subleaf {
        0 => {
            let mut ebx = LEAF_7_EBX;
            let mut ecx = LEAF_7_ECX;
            let mut edx = LEAF_7_EDX;
            if policy.has_fsgsbase {
                ebx |= leaf_7_ebx::FSGSBASE;
            }
            if policy.has_tsc_aux {
                ecx |= leaf_7_ecx::RDPID;
            }
            if speculation.spec_ctrl_mask != 0 && speculation.pred_cmd_mask != 0 {
                edx |= leaf_7_edx::IBRSB | leaf_7_edx::STIBP | leaf_7_edx::SSBD;
            }
            if speculation.has_flush_cmd {
                edx |= leaf_7_edx::L1D_FLUSH;
            }
            if speculation.arch_capabilities.is_some() {
                edx |= leaf_7_edx::ARCH_CAPABILITIES;
            }
            Leaf {
                eax: max_subleaf,
                ebx: leaf.ebx & vectors.shown(ebx, leaf_7_ebx::AVX2, LEAF_7_EBX_AVX512),
                ecx: leaf.ecx & vectors.shown(ecx, LEAF_7_ECX_AVX, LEAF_7_ECX_AVX512),
                edx: leaf.edx & vectors.shown(edx, 0, LEAF_7_EDX_AVX512),
            }
        }
        1 => {
            let plain = leaf_7_1_eax::FZRM | leaf_7_1_eax::FSRS | leaf_7_1_eax::FSRCS;
            let shown = vectors.shown(plain, leaf_7_1_eax::AVX_VNNI, leaf_7_1_eax::AVX512_BF16);
            Leaf {
                eax: leaf.eax & shown,
                ..Leaf::ZERO
            }
        }
        _ => {
            let mut shown = leaf_7_2_edx::MCDT_NO;
            if speculation.spec_ctrl_mask & super::msr::SPEC_CTRL_PSFD != 0 {
                shown |= leaf_7_2_edx::PSFD;
            }
            Leaf {
                edx: leaf.edx & shown,
                ..Leaf::ZERO
            }
        }
    }
}

const LEAF_7_EBX: u32 = leaf_7_ebx::BMI1
    | leaf_7_ebx::FDP_EXCEPTION_ONLY
    | leaf_7_ebx::BMI2
    | leaf_7_ebx::ERMS
    | leaf_7_ebx::NO_FPU_SELECTORS
    | leaf_7_ebx::RDSEED
    | leaf_7_ebx::ADX
    | leaf_7_ebx::CLFLUSHOPT
    | leaf_7_ebx::CLWB
    | leaf_7_ebx::SHA;
const LEAF_7_EBX_AVX512: u32 = leaf_7_ebx::AVX512F
    | leaf_7_ebx::AVX512DQ
    | leaf_7_ebx::AVX512_IFMA
    | leaf_7_ebx::AVX512PF
    | leaf_7_ebx::AVX512ER
    | leaf_7_ebx::AVX512CD
    | leaf_7_ebx::AVX512BW
    | leaf_7_ebx::AVX512VL;
const LEAF_7_ECX: u32 = leaf_7_ecx::PREFETCHWT1 | leaf_7_ecx::GFNI | leaf_7_ecx::CLDEMOTE;
const LEAF_7_ECX_AVX: u32 = leaf_7_ecx::VAES | leaf_7_ecx::VPCLMULQDQ;
const LEAF_7_ECX_AVX512: u32 = leaf_7_ecx::AVX512_VBMI
    | leaf_7_ecx::AVX512_VBMI2
    | leaf_7_ecx::AVX512_VNNI
    | leaf_7_ecx::AVX512_BITALG
    | leaf_7_ecx::AVX512_VPOPCNTDQ;
const LEAF_7_EDX: u32 = leaf_7_edx::FSRM | leaf_7_edx::MD_CLEAR | leaf_7_edx::SERIALIZE;
const LEAF_7_EDX_AVX512: u32 = leaf_7_edx::AVX512_4VNNIW | leaf_7_edx::AVX512_4FMAPS;

pub(super) fn extended_leaf(
    host: &impl HostCpuid,
    policy: &Policy,
    caller: CpuidCaller,
    state: &CpuidState,
    leaf: u32,
) -> Leaf {
    let raw = host.leaf(leaf, 0);
    match leaf {
        0x8000_0000 => Leaf {
            eax: extended_max(host),
            ..raw
        },
        0x8000_0001 => leaf_80000001(host, policy, caller, state, raw),
        // Brand string; caches and TLBs as AMD describes them.
        0x8000_0002..=0x8000_0006 | 0x8000_0019 => raw,
        0x8000_0007 => {
            let shown = if policy.has_invariant_tsc {
                leaf_80000007_edx::INVARIANT_TSC
            } else {
                0
            };
            Leaf {
                edx: raw.edx & shown,
                ..Leaf::ZERO
            }
        }
        0x8000_0008 => Leaf {
            eax: (raw.eax & 0xFF) | (LINEAR_ADDRESS_WIDTH << 8),
            ebx: raw.ebx & leaf_80000008_ebx_shown(policy),
            ecx: 0,
            edx: 0,
        },
        // How wide the floating-point units are: three bits.
        0x8000_001A => Leaf {
            eax: raw.eax & 7,
            ..Leaf::ZERO
        },
        0x8000_0021 => {
            let mut shown = leaf_80000021_eax::LFENCE_DISPATCH
                | leaf_80000021_eax::VERW_CLEAR
                | leaf_80000021_eax::NULL_SELECTOR_CLEARS_BASE
                | leaf_80000021_eax::SRSO_NO;
            if policy.speculation.pred_cmd_mask != 0 {
                shown |= leaf_80000021_eax::IBPB_BRTYPE;
            }
            Leaf {
                eax: raw.eax & shown,
                ecx: raw.ecx & (leaf_80000021_ecx::TSA_SQ_NO | leaf_80000021_ecx::TSA_L1_NO),
                ..Leaf::ZERO
            }
        }
        _ => Leaf::ZERO,
    }
}

fn leaf_80000001(
    host: &impl HostCpuid,
    policy: &Policy,
    caller: CpuidCaller,
    state: &CpuidState,
    raw: Leaf,
) -> Leaf {
    let vectors = Vectors::of(policy);
    let mut edx = leaf_80000001_edx::SYSCALL
        | leaf_80000001_edx::NX
        | leaf_80000001_edx::MMXEXT
        | leaf_80000001_edx::LM
        | leaf_80000001_edx::THREE_D_NOW_EXT
        | leaf_80000001_edx::THREE_D_NOW;
    if policy.has_tsc_aux {
        edx |= leaf_80000001_edx::RDTSCP;
    }
    edx &= raw.edx;
    if policy.vendor == Vendor::Amd {
        // AMD repeats these bits of leaf 1.
        const REPEATED: u32 = 0x0183_F3FF;
        edx |= leaf_1(host, policy, caller, state).edx & REPEATED;
    }
    let ecx = leaf_80000001_ecx::LAHF
        | leaf_80000001_ecx::ABM
        | leaf_80000001_ecx::SSE4A
        | leaf_80000001_ecx::MISALIGNED_SSE
        | leaf_80000001_ecx::PREFETCHW
        | leaf_80000001_ecx::TBM;
    let ecx = vectors.shown(ecx, leaf_80000001_ecx::XOP | leaf_80000001_ecx::FMA4, 0);
    Leaf {
        eax: raw.eax,
        ebx: raw.ebx,
        ecx: raw.ecx & ecx,
        edx,
    }
}

const fn leaf_80000008_ebx_shown(policy: &Policy) -> u32 {
    let mut shown = leaf_80000008_ebx::CLZERO
        | leaf_80000008_ebx::RESTORES_FP_ERROR_POINTERS
        | leaf_80000008_ebx::SSB_NO
        | leaf_80000008_ebx::BTC_NO;
    if policy.speculation.pred_cmd_mask != 0 {
        shown |= leaf_80000008_ebx::IBPB | leaf_80000008_ebx::IBPB_RET;
        if policy.speculation.spec_ctrl_mask != 0 {
            shown |= leaf_80000008_ebx::IBRS | leaf_80000008_ebx::STIBP | leaf_80000008_ebx::SSBD;
        }
    }
    shown
}
