//! What a guest sees of the processor, and which of its control registers it may change.
//!
//! A guest kernel runs in ring 3 on the real processor; most of what it asks about is answered by emulation.
//! This room decides the answers as plain functions from the hardware's state, the domain's [`Policy`] and the
//! virtual processor's state. It touches no register.
//!
//! Features are an allow-list: a bit that has no name here is hidden, also when a future processor gives it a
//! meaning.
#![forbid(unsafe_code)]

pub mod control;
pub mod cpuid;
pub mod cpuid_bits;
mod cpuid_leaves;
pub mod debug;
pub mod faulting;
pub mod floating_point;
pub mod iopl;
pub mod msr;
mod msr_table;
pub mod xstate;

#[cfg(all(test, not(loom)))]
mod cpuid_tests;
#[cfg(all(test, not(loom)))]
mod msr_tests;
#[cfg(all(test, not(loom)))]
mod state_tests;

use cpuid::{HostCpuid, Vendor};

/// Which half of a guest executes. Both are in ring 3; the hypervisor knows which it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GuestMode {
    /// The guest's kernel.
    Kernel,
    /// The guest's user space.
    User,
}

/// Controls of speculative execution that the hypervisor virtualizes, so that guests may have them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Speculation {
    /// Bits of `SPEC_CTRL` that a guest may set; the hypervisor switches the register with the virtual processor.
    /// 0 hides the register.
    pub spec_ctrl_mask: u64,
    /// Bits of `PRED_CMD` that a guest may write. 0 hides the register.
    pub pred_cmd_mask: u64,
    /// Whether a guest may flush the first-level data cache.
    pub has_flush_cmd: bool,
    /// What `ARCH_CAPABILITIES` reads as; `None` hides the register.
    pub arch_capabilities: Option<u64>,
}

/// What a domain is offered, settled when it is created.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Who made the processor.
    pub vendor: Vendor,
    /// State components that the hypervisor saves and the processor has, as bits of XCR0. 0 hides XSAVE.
    pub xcr0_permitted: u64,
    /// Whether the guest may enable `RDFSBASE` and its kin.
    pub has_fsgsbase: bool,
    /// Whether `RDTSCP` and `RDPID` are offered and `TSC_AUX` is switched.
    pub has_tsc_aux: bool,
    /// Whether the time-stamp counter is said to be invariant. It must then stay so, over migration too.
    pub has_invariant_tsc: bool,
    /// Whether the guest sees a machine-check architecture: one bank that never has anything. The hypervisor ends on
    /// each machine check; a kernel that finds none of it complains.
    pub has_machine_check: bool,
    /// Speculation controls.
    pub speculation: Speculation,
    /// Width of machine addresses, in bits, memory that is added later included.
    pub machine_address_width: u8,
    /// Version of the guest interface, major and minor.
    pub interface_version: (u16, u16),
}

impl Policy {
    /// Everything that `host` has and that needs no help from elsewhere in the hypervisor than switching XSAVE
    /// state, FS and GS bases and `TSC_AUX` with the virtual processor.
    #[must_use]
    pub fn for_host(host: &impl HostCpuid) -> Self {
        let address_leaf = host.leaf(0x8000_0008, 0);
        let machine_check = cpuid_bits::leaf_1_edx::MCE | cpuid_bits::leaf_1_edx::MCA;
        Self {
            vendor: Vendor::of(host),
            xcr0_permitted: xstate::permitted(host),
            has_fsgsbase: host.leaf(7, 0).ebx & cpuid_bits::leaf_7_ebx::FSGSBASE != 0,
            has_tsc_aux: host.leaf(0x8000_0001, 0).edx & cpuid_bits::leaf_80000001_edx::RDTSCP != 0,
            has_invariant_tsc: false,
            has_machine_check: host.leaf(1, 0).edx & machine_check == machine_check,
            speculation: Speculation::default(),
            machine_address_width: address_leaf.eax as u8,
            interface_version: (4, 17),
        }
    }
}
