//! Who may do which control operation: the one table.
//!
//! Each operation that the interface knows has a row, by exhaustive `match`: one that is added to the interface
//! does not compile before somebody has said here who may do it.
#![forbid(unsafe_code)]

use guest_abi::domctl::DomctlOp;
use guest_abi::errno::Errno;
use guest_abi::platform::PlatformOp;
use guest_abi::sysctl::SysctlOp;

/// What a caller has to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Check {
    /// A domain that controls others.
    Controller,
    /// The domain that owns the hardware.
    Hardware,
}

/// Whether there is such an operation here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Offer {
    /// There is.
    Yes,
    /// There is not, and this is the answer to those who might ask.
    No(Errno),
}

/// A row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rule {
    /// Who may ask.
    pub check: Check,
    /// What they get.
    pub offer: Offer,
}

/// A caller's rights.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rights {
    /// It controls other domains.
    pub is_controller: bool,
    /// It owns the hardware.
    pub owns_hardware: bool,
}

impl Rule {
    /// Lets a caller through, or says why not.
    ///
    /// # Errors
    /// `EPERM` without the right; else what an operation that is not offered answers.
    pub const fn admit(self, rights: Rights) -> Result<(), Errno> {
        let may = match self.check {
            Check::Controller => rights.is_controller,
            Check::Hardware => rights.owns_hardware,
        };
        match self.offer {
            _ if !may => Err(Errno::EPERM),
            Offer::Yes => Ok(()),
            Offer::No(errno) => Err(errno),
        }
    }
}

const fn controller() -> Rule {
    Rule {
        check: Check::Controller,
        offer: Offer::Yes,
    }
}

const fn hardware() -> Rule {
    Rule {
        check: Check::Hardware,
        offer: Offer::Yes,
    }
}

const fn not_offered(errno: Errno) -> Rule {
    Rule {
        check: Check::Controller,
        offer: Offer::No(errno),
    }
}

/// An operation that nobody knows. Only a controller gets to hear that.
pub const UNKNOWN: Rule = not_offered(Errno::ENOSYS);

/// Control of one domain.
#[must_use]
pub const fn domctl(operation: DomctlOp) -> Rule {
    use DomctlOp as Op;
    match operation {
        Op::CreateDomain
        | Op::DestroyDomain
        | Op::PauseDomain
        | Op::UnpauseDomain
        | Op::GetDomainInfo
        | Op::SetVcpuAffinity
        | Op::GetVcpuAffinity
        | Op::MaxMem
        | Op::SetVcpuContext
        | Op::GetVcpuContext
        | Op::GetVcpuInfo
        | Op::MaxVcpus
        | Op::SchedulerOp
        | Op::SetDomainHandle
        | Op::SetDebugging
        | Op::IrqPermission
        | Op::IomemPermission
        | Op::IoportPermission
        | Op::HypercallInit
        | Op::SetTimeOffset
        | Op::ResumeDomain
        | Op::SendTrigger
        | Op::Subscribe
        | Op::SetAddressSize
        | Op::GetAddressSize
        | Op::SetExtVcpuContext
        | Op::GetExtVcpuContext
        | Op::GetTscInfo
        | Op::SetTscInfo
        | Op::GetPageFrameInfo
        | Op::SetVcpuExtendedState
        | Op::GetVcpuExtendedState
        | Op::SetNodeAffinity
        | Op::GetNodeAffinity
        | Op::GetVcpuMsrs
        | Op::SetVcpuMsrs
        | Op::GetCpuPolicy
        | Op::SetCpuPolicy => controller(),
        // What is written by a domain is not noted, and there is no protection from devices, so none is given away.
        Op::ShadowOp
        | Op::AssignDevice
        | Op::TestAssignDevice
        | Op::DeassignDevice
        | Op::GetDeviceGroup
        // For guests of another kind.
        | Op::IoportMapping
        | Op::SetTarget
        | Op::SetAccessRequired
        | Op::MonitorOp
        | Op::GetPagingMempoolSize
        | Op::SetPagingMempoolSize => not_offered(Errno::EOPNOTSUPP),
        // The same, where such a guest is looked for first.
        Op::BindPtIrq
        | Op::UnbindPtIrq
        | Op::GetHvmContext
        | Op::SetHvmContext
        | Op::GetHvmContextPartial
        | Op::MemoryMapping
        | Op::DebugOp
        | Op::SetBrokenPageP2m
        | Op::VmtraceOp
        | Op::SoftReset
        | Op::SoftResetContinuation
        | Op::SetVirqHandler
        | Op::SetVnumaInfo => not_offered(Errno::EINVAL),
        // What processors may have, and this hypervisor does not use.
        Op::PsrCmtOp | Op::PsrAlloc => not_offered(Errno::ENODEV),
        // For other processors, or for what the hypervisor does not have.
        Op::RealModeArea
        | Op::SetOptFeature
        | Op::CacheFlush
        | Op::VmEventOp
        | Op::MemSharingOp
        | Op::AuditP2m
        | Op::VuartOp
        | Op::DebuggerMemory
        | Op::DebuggerPauseVcpu
        | Op::DebuggerUnpauseVcpu
        | Op::DebuggerStatus => not_offered(Errno::ENOSYS),
    }
}

/// Control of the machine.
#[must_use]
pub const fn sysctl(operation: SysctlOp) -> Rule {
    use SysctlOp as Op;
    match operation {
        Op::ReadConsole
        | Op::PhysInfo
        | Op::SchedulerId
        | Op::GetDomainInfoList
        | Op::DebugKeys
        | Op::GetCpuInfo
        | Op::AvailHeap
        | Op::CpuTopologyInfo
        | Op::NumaInfo
        | Op::CpupoolOp
        | Op::SchedulerOp
        | Op::PciTopologyInfo
        | Op::GetCpuLevellingCaps
        | Op::GetCpuFeatureset
        | Op::GetCpuPolicy => controller(),
        Op::CpuHotplug | Op::PageOfflineOp | Op::CoverageOp => not_offered(Errno::EOPNOTSUPP),
        Op::GetPmStat | Op::PsrCmtOp | Op::PsrAlloc => not_offered(Errno::ENODEV),
        Op::TraceBufferOp | Op::PerfcOp | Op::LockprofOp | Op::PmOp | Op::LivepatchOp => {
            not_offered(Errno::ENOSYS)
        }
    }
}

/// Control of the platform. Operations of the hypervisor's that this one does not have are for the handler to
/// refuse: what is there depends on firmware.
#[must_use]
pub const fn platform(_: PlatformOp) -> Rule {
    hardware()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const NOBODY: Rights = Rights {
        is_controller: false,
        owns_hardware: false,
    };
    const FIRST: Rights = Rights {
        is_controller: true,
        owns_hardware: true,
    };

    #[test]
    fn an_ordinary_domain_may_do_nothing() {
        for number in 0..2000 {
            if let Ok(operation) = DomctlOp::try_from(number) {
                assert_eq!(domctl(operation).admit(NOBODY), Err(Errno::EPERM));
            }
            if let Ok(operation) = SysctlOp::try_from(number) {
                assert_eq!(sysctl(operation).admit(NOBODY), Err(Errno::EPERM));
            }
            if let Ok(operation) = PlatformOp::try_from(number) {
                assert_eq!(platform(operation).admit(NOBODY), Err(Errno::EPERM));
            }
        }
        assert_eq!(UNKNOWN.admit(NOBODY), Err(Errno::EPERM));
    }

    #[test]
    fn the_first_domain_may_do_what_there_is() {
        assert_eq!(domctl(DomctlOp::CreateDomain).admit(FIRST), Ok(()));
        assert_eq!(sysctl(SysctlOp::PhysInfo).admit(FIRST), Ok(()));
        assert_eq!(
            domctl(DomctlOp::CacheFlush).admit(FIRST),
            Err(Errno::ENOSYS)
        );
        assert_eq!(UNKNOWN.admit(FIRST), Err(Errno::ENOSYS));
    }

    #[test]
    fn hardware_is_another_right_than_control() {
        let tools = Rights {
            is_controller: true,
            owns_hardware: false,
        };
        assert_eq!(
            platform(PlatformOp::SetTime64).admit(tools),
            Err(Errno::EPERM)
        );
        assert_eq!(domctl(DomctlOp::PauseDomain).admit(tools), Ok(()));
    }
}
