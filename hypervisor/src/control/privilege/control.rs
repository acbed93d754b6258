//! Rows of the hypercalls by which tools control domains and the machine.

use super::{Check, Offer, Rule};
use guest_abi::domctl::DomctlOp;
use guest_abi::errno::Errno;
use guest_abi::platform::PlatformOp;
use guest_abi::sysctl::SysctlOp;

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
