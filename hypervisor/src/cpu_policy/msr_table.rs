//! The table of model-specific registers. What isn't in it raises #GP.

use guest_abi::hypervisor_cpuid::MSR_HYPERCALL_PAGE;

/// Which guests a rule is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum When {
    Always,
    Intel,
    Amd,
    /// The domain that owns the hardware, on AMD.
    AmdDom0,
    MachineCheck,
    TscAux,
    SpecCtrl,
    PredCmd,
    FlushCmd,
    ArchCapabilities,
}

/// What a read returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Read {
    Fault,
    Value(u64),
    /// The hardware's value with only `keep` of it, and `set` added.
    Host {
        keep: u64,
        set: u64,
    },
    FsBase,
    GsBase,
    KernelGsBase,
    ApicBase,
    Efer,
    TimeStamp,
    TscAux,
    SpecCtrl,
    ArchCapabilities,
}

/// What a write does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Write {
    Fault,
    Ignore,
    /// Nothing, if it is this value; otherwise #GP.
    Only(u64),
    FsBase,
    GsBase,
    KernelGsBase,
    Efer,
    TscAux,
    SpecCtrl,
    PredCmd,
    FlushCmd,
    HypercallPage,
}

/// The rule for the registers `first` to `last`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Rule {
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) when: When,
    pub(super) read: Read,
    pub(super) write: Write,
}

const fn rule(msr: u32, when: When, read: Read, write: Write) -> Rule {
    Rule {
        first: msr,
        last: msr,
        when,
        read,
        write,
    }
}

const fn range(first: u32, last: u32, when: When, read: Read, write: Write) -> Rule {
    Rule {
        first,
        last,
        when,
        read,
        write,
    }
}

/// The hardware's value as it is.
const HOST: Read = Read::Host {
    keep: u64::MAX,
    set: 0,
};

/// The page attribute table that guests see: WB, WT, UC-, UC, WC, WP, UC, UC. It is part of the interface, because
/// guests keep indices into it in page entries that migrate.
pub const GUEST_PAT: u64 = 0x0000_0501_0007_0406;

/// `MISC_ENABLE`: performance monitoring available.
const MISC_PERFORMANCE_MONITORING: u64 = 1 << 7;
/// `MISC_ENABLE`: branch trace storage unavailable.
const MISC_NO_BRANCH_TRACE: u64 = 1 << 11;
/// `MISC_ENABLE`: precise event sampling unavailable.
const MISC_NO_PRECISE_SAMPLING: u64 = 1 << 12;
/// `MISC_ENABLE`: MONITOR is on.
const MISC_MONITOR: u64 = 1 << 18;
const MISC_ENABLE: Read = Read::Host {
    keep: !(MISC_PERFORMANCE_MONITORING | MISC_MONITOR),
    set: MISC_NO_BRANCH_TRACE | MISC_NO_PRECISE_SAMPLING,
};

/// `FEATURE_CONTROL`: locked, nothing enabled.
const FEATURE_CONTROL_LOCKED: u64 = 1;
/// `DE_CFG`: LFENCE waits for all earlier instructions.
const DE_CFG_LFENCE_SERIALIZES: u64 = 1 << 1;
/// `MCG_CAP`: one bank, which never reports anything.
const MCG_CAP_ONE_BANK: u64 = 1;

/// All rules, ascending by register. A register's rules are together; the first whose condition holds is taken.
#[rustfmt::skip]
pub(super) const TABLE: &[Rule] = &[
    // TSC. Setting it is pointless: guests take time from the shared page.
    rule(0x10, When::Always, Read::TimeStamp, Write::Ignore),
    // PLATFORM_ID
    rule(0x17, When::Intel, HOST, Write::Fault),
    // APIC_BASE
    rule(0x1B, When::Always, Read::ApicBase, Write::Fault),
    // FEATURE_CONTROL
    rule(0x3A, When::Intel, Read::Value(FEATURE_CONTROL_LOCKED), Write::Fault),
    // SPEC_CTRL, PRED_CMD
    rule(0x48, When::SpecCtrl, Read::SpecCtrl, Write::SpecCtrl),
    rule(0x49, When::PredCmd, Read::Fault, Write::PredCmd),
    // Microcode revision. Intel's protocol for reading it starts by writing 0.
    rule(0x8B, When::Intel, HOST, Write::Only(0)),
    rule(0x8B, When::Always, HOST, Write::Fault),
    // PLATFORM_INFO: no CPUID faulting for guests
    rule(0xCE, When::Intel, Read::Value(0), Write::Fault),
    // ARCH_CAPABILITIES, FLUSH_CMD
    rule(0x10A, When::ArchCapabilities, Read::ArchCapabilities, Write::Fault),
    rule(0x10B, When::FlushCmd, Read::Fault, Write::FlushCmd),
    // MISC_FEATURES_ENABLES
    rule(0x140, When::Intel, Read::Value(0), Write::Only(0)),
    // MCG_CAP, MCG_STATUS, MCG_CTL
    rule(0x179, When::MachineCheck, Read::Value(MCG_CAP_ONE_BANK), Write::Ignore),
    range(0x17A, 0x17B, When::MachineCheck, Read::Value(0), Write::Ignore),
    // PERF_STATUS, PERF_CTL, THERM_STATUS
    range(0x198, 0x199, When::Intel, Read::Value(0), Write::Ignore),
    rule(0x19C, When::Intel, Read::Value(0), Write::Ignore),
    // MISC_ENABLE
    rule(0x1A0, When::Intel, MISC_ENABLE, Write::Ignore),
    // PAT
    rule(0x277, When::Always, Read::Value(GUEST_PAT), Write::Only(GUEST_PAT)),
    // MC0_CTL, MC0_STATUS, MC0_ADDR, MC0_MISC
    range(0x400, 0x403, When::MachineCheck, Read::Value(0), Write::Ignore),
    // Hypercall page
    rule(MSR_HYPERCALL_PAGE, When::Always, Read::Fault, Write::HypercallPage),
    // EFER
    rule(0xC000_0080, When::Always, Read::Efer, Write::Efer),
    // FS_BASE, GS_BASE, KERNEL_GS_BASE
    rule(0xC000_0100, When::Always, Read::FsBase, Write::FsBase),
    rule(0xC000_0101, When::Always, Read::GsBase, Write::GsBase),
    rule(0xC000_0102, When::Always, Read::KernelGsBase, Write::KernelGsBase),
    // TSC_AUX
    rule(0xC000_0103, When::TscAux, Read::TscAux, Write::TscAux),
    // SYSCFG
    rule(0xC001_0010, When::AmdDom0, HOST, Write::Fault),
    // HWCR
    rule(0xC001_0015, When::Amd, Read::Value(0), Write::Ignore),
    // TOP_MEM, TOP_MEM2
    rule(0xC001_001A, When::AmdDom0, HOST, Write::Fault),
    rule(0xC001_001D, When::AmdDom0, HOST, Write::Fault),
    // DE_CFG
    rule(0xC001_1029, When::Amd, Read::Value(DE_CFG_LFENCE_SERIALIZES), Write::Ignore),
];
