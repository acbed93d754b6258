//! What `RDMSR` and `WRMSR` of a guest do. The rules are one table; here they become actions.

use super::Policy;
use super::control::{read_efer, write_efer};
use super::cpuid::Vendor;
pub use super::msr_table::GUEST_PAT;
use super::msr_table::{Read, Rule, TABLE, When, Write};

/// `SPEC_CTRL`: predictive store forwarding off.
pub const SPEC_CTRL_PSFD: u64 = 1 << 7;

/// A segment base that a guest keeps in a register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BaseRegister {
    /// FS.
    Fs,
    /// GS of the mode that the guest is in.
    Gs,
    /// GS of the other mode: the user's while the kernel runs.
    KernelGs,
}

/// What a read of a register is answered with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MsrRead {
    /// This value.
    Value(u64),
    /// The virtual processor's segment base.
    Base(BaseRegister),
    /// The hardware's value of the same register, with only the bits `keep`, and the bits `set` set.
    Host {
        /// Bits that are passed on.
        keep: u64,
        /// Bits that are set whatever the hardware has.
        set: u64,
    },
    /// The guest's time-stamp counter.
    TimeStamp,
    /// The virtual processor's `TSC_AUX`.
    TscAux,
    /// The virtual processor's `SPEC_CTRL`.
    SpecCtrl,
    /// 0 if the hardware has such a register, otherwise #GP(0): the guest can't take an exception yet.
    ZeroIfHostHas,
    /// #GP(0).
    Fault,
}

/// What a write to a register does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MsrWrite {
    /// Sets the virtual processor's segment base to a canonical address.
    Base(BaseRegister, u64),
    /// Sets the virtual processor's `TSC_AUX`.
    TscAux(u32),
    /// Sets the virtual processor's `SPEC_CTRL`.
    SpecCtrl(u64),
    /// Writes this command to the hardware's register of the same number.
    Command(u64),
    /// Writes hypercall entry points into the page at this guest address.
    HypercallPage(u64),
    /// Nothing.
    Ignore,
    /// #GP(0).
    Fault,
}

/// What the answers depend on.
#[derive(Clone, Copy, Debug)]
pub struct MsrContext<'a> {
    /// The domain's policy.
    pub policy: &'a Policy,
    /// Whether the domain owns the hardware.
    pub is_dom0: bool,
    /// Whether this is the domain's first virtual processor.
    pub is_boot_vcpu: bool,
    /// Whether the guest has registered a handler for #GP.
    pub has_gp_handler: bool,
    /// The hardware's EFER.
    pub hardware_efer: u64,
}

/// `APIC_BASE`: the usual address, enabled.
const APIC_BASE: u64 = 0xFEE0_0800;
/// `APIC_BASE`: boot processor.
const APIC_BASE_BOOT: u64 = 1 << 8;

/// Decides about `RDMSR` of `msr`.
#[must_use]
pub fn read(msr: u32, context: &MsrContext<'_>) -> MsrRead {
    let read = find(msr, context).map_or(Read::Fault, |rule| rule.read);
    match read {
        Read::Value(value) => MsrRead::Value(value),
        Read::Host { keep, set } => MsrRead::Host { keep, set },
        Read::FsBase => MsrRead::Base(BaseRegister::Fs),
        Read::GsBase => MsrRead::Base(BaseRegister::Gs),
        Read::KernelGsBase => MsrRead::Base(BaseRegister::KernelGs),
        Read::ApicBase => MsrRead::Value(if context.is_boot_vcpu {
            APIC_BASE | APIC_BASE_BOOT
        } else {
            APIC_BASE
        }),
        Read::Efer => MsrRead::Value(read_efer(context.hardware_efer)),
        Read::TimeStamp => MsrRead::TimeStamp,
        Read::TscAux => MsrRead::TscAux,
        Read::SpecCtrl => MsrRead::SpecCtrl,
        Read::ArchCapabilities => context
            .policy
            .speculation
            .arch_capabilities
            .map_or(MsrRead::Fault, MsrRead::Value),
        Read::Fault if !context.has_gp_handler => MsrRead::ZeroIfHostHas,
        Read::Fault => MsrRead::Fault,
    }
}

/// Decides about `WRMSR` of `value` to `msr`.
#[must_use]
pub fn write(msr: u32, value: u64, context: &MsrContext<'_>) -> MsrWrite {
    let write = find(msr, context).map_or(Write::Fault, |rule| rule.write);
    let speculation = &context.policy.speculation;
    let base = |register| {
        if is_canonical(value) {
            MsrWrite::Base(register, value)
        } else {
            MsrWrite::Fault
        }
    };
    let ignore_if = |is_harmless| {
        if is_harmless {
            MsrWrite::Ignore
        } else {
            MsrWrite::Fault
        }
    };
    let command = |mask: u64| {
        if value & !mask == 0 {
            MsrWrite::Command(value)
        } else {
            MsrWrite::Fault
        }
    };
    match write {
        Write::Ignore => MsrWrite::Ignore,
        Write::Only(expected) => ignore_if(value == expected),
        Write::Efer => ignore_if(write_efer(context.hardware_efer, value).is_ok()),
        Write::FsBase => base(BaseRegister::Fs),
        Write::GsBase => base(BaseRegister::Gs),
        Write::KernelGsBase => base(BaseRegister::KernelGs),
        Write::TscAux => u32::try_from(value).map_or(MsrWrite::Fault, MsrWrite::TscAux),
        Write::SpecCtrl if value & !speculation.spec_ctrl_mask == 0 => MsrWrite::SpecCtrl(value),
        Write::SpecCtrl => MsrWrite::Fault,
        Write::PredCmd => command(speculation.pred_cmd_mask),
        Write::FlushCmd => command(1),
        Write::HypercallPage => MsrWrite::HypercallPage(value),
        Write::Fault => MsrWrite::Fault,
    }
}

/// The rule that applies to `msr`.
fn find(msr: u32, context: &MsrContext<'_>) -> Option<&'static Rule> {
    let start = TABLE.partition_point(|rule| rule.last < msr);
    TABLE
        .get(start..)?
        .iter()
        .take_while(|rule| rule.first <= msr)
        .find(|rule| applies(rule.when, context))
}

fn applies(when: When, context: &MsrContext<'_>) -> bool {
    let policy = context.policy;
    match when {
        When::Always => true,
        When::Intel => policy.vendor == Vendor::Intel,
        When::Amd => policy.vendor == Vendor::Amd,
        When::AmdDom0 => policy.vendor == Vendor::Amd && context.is_dom0,
        When::MachineCheck => policy.has_machine_check,
        When::TscAux => policy.has_tsc_aux,
        When::SpecCtrl => policy.speculation.spec_ctrl_mask != 0,
        When::PredCmd => policy.speculation.pred_cmd_mask != 0,
        When::FlushCmd => policy.speculation.has_flush_cmd,
        When::ArchCapabilities => policy.speculation.arch_capabilities.is_some(),
    }
}

/// Whether a 48-bit processor takes `address` as linear.
#[must_use]
pub const fn is_canonical(address: u64) -> bool {
    ((address as i64) << 16 >> 16) as u64 == address
}
