//! Rows of the hypercalls that are for every domain.

use super::Check;
use guest_abi::event_channel::{EventChannelOp, Virq};
use guest_abi::grant_op::GrantTableOp;
use guest_abi::memory_op::MemoryOp;
use guest_abi::mmu::MmuextOp;
use guest_abi::physdev::PhysdevOp;
use guest_abi::sched_op::SchedOp;
use guest_abi::vcpu_op::VcpuOp;
use guest_abi::version::VersionOp;

/// Page tables and the frames that are mapped there: `mmu_update`, `update_va_mapping`, all of `mmuext_op`.
pub const TABLES: Check = Check::Oneself;

/// Writing caches back. It is slow, and the processor's other domains wait for it.
pub const CACHES: Check = Check::Hardware;

/// The machine's console: `console_io`.
pub const CONSOLE: Check = Check::Controller;

/// Machine checks: `mca`.
pub const MACHINE_CHECKS: Check = Check::Hardware;

/// Extended operations on page tables of another domain, which come after [`TABLES`]; on its own, everybody may do them all.
#[must_use]
pub const fn mmuext_of_others(operation: MmuextOp) -> Check {
    use MmuextOp as Op;
    match operation {
        Op::PinL1Table
        | Op::PinL2Table
        | Op::PinL3Table
        | Op::PinL4Table
        | Op::UnpinTable
        | Op::ClearPage
        | Op::CopyPage => Check::Oneself,
        Op::NewBaseptr
        | Op::NewUserBaseptr
        | Op::TlbFlushLocal
        | Op::InvlpgLocal
        | Op::TlbFlushMulti
        | Op::InvlpgMulti
        | Op::TlbFlushAll
        | Op::InvlpgAll
        | Op::FlushCache
        | Op::FlushCacheGlobal
        | Op::SetLdt
        | Op::MarkSuper
        | Op::UnmarkSuper => Check::OnlyOneself,
    }
}

/// How many frames a domain has, and maps of memory.
#[must_use]
pub const fn memory(operation: MemoryOp) -> Check {
    use MemoryOp as Op;
    match operation {
        Op::IncreaseReservation
        | Op::DecreaseReservation
        | Op::PopulatePhysmap
        | Op::Exchange
        | Op::CurrentReservation
        | Op::MaximumReservation
        | Op::MaximumGpfn
        | Op::SetMemoryMap => Check::Oneself,
        Op::MaximumRamPage
        | Op::MachphysMfnList
        | Op::MachphysMapping
        | Op::MemoryMap
        | Op::ReservedDeviceMemoryMap => Check::Anyone,
        Op::MachineMemoryMap => Check::Hardware,
        Op::ClaimPages => Check::Controller,
        Op::AcquireResource => Check::ControllerOfOthers,
        // Refused to everybody, or nothing is there.
        Op::AddToPhysmap
        | Op::AddToPhysmapBatch
        | Op::RemoveFromPhysmap
        | Op::SetPodTarget
        | Op::GetPodTarget
        | Op::GetSharingFreedPages
        | Op::GetSharingSharedPages
        | Op::PagingOp
        | Op::AccessOp
        | Op::SharingOp
        | Op::MachphysCompatMfnList
        | Op::GetVnumaInfo => Check::Anyone,
    }
}

/// Event channels.
#[must_use]
pub const fn event_channel(operation: EventChannelOp) -> Check {
    use EventChannelOp as Op;
    match operation {
        Op::AllocUnbound | Op::Status | Op::Reset => Check::Oneself,
        // A port of another domain is bound if that one has offered it.
        Op::BindInterdomain
        | Op::BindVirq
        | Op::BindPirq
        | Op::Close
        | Op::Send
        | Op::BindIpi
        | Op::BindVcpu
        | Op::Unmask
        | Op::InitControl
        | Op::ExpandArray
        | Op::SetPriority => Check::Anyone,
    }
}

/// Hearing of an event: those that are the machine's are for who controls it.
#[must_use]
pub const fn virq(virq: Virq) -> Check {
    match virq {
        Virq::Timer | Virq::Debug | Virq::Profiler | Virq::Pmu | Virq::Argo => Check::Anyone,
        Virq::Console
        | Virq::DomainException
        | Virq::TraceBuffer
        | Virq::Debugger
        | Virq::ConsoleRing
        | Virq::PcpuState
        | Virq::MemoryEvent
        | Virq::OutOfMemory
        | Virq::Mca
        | Virq::Arch1
        | Virq::Arch2
        | Virq::Arch3
        | Virq::Arch4
        | Virq::Arch5
        | Virq::Arch6
        | Virq::Arch7 => Check::Controller,
    }
}

/// Grant tables.
#[must_use]
pub const fn grant_table(operation: GrantTableOp) -> Check {
    use GrantTableOp as Op;
    match operation {
        Op::SetupTable | Op::QuerySize | Op::GetStatusFrames | Op::GetVersion => Check::Oneself,
        // Whose frames, its grants say.
        Op::MapGrantRef
        | Op::UnmapGrantRef
        | Op::UnmapAndReplace
        | Op::DumpTable
        | Op::Transfer
        | Op::Copy
        | Op::SetVersion
        | Op::SwapGrantRef
        | Op::CacheFlush => Check::Anyone,
    }
}

/// Running and ending.
#[must_use]
pub const fn sched(operation: SchedOp) -> Check {
    use SchedOp as Op;
    match operation {
        Op::Yield | Op::Block | Op::Shutdown | Op::ShutdownCode | Op::Poll | Op::Watchdog => {
            Check::Anyone
        }
        Op::RemoteShutdown => Check::Controller,
        Op::PinOverride => Check::Hardware,
    }
}

/// vCPUs of the caller's.
#[must_use]
pub const fn vcpu(operation: VcpuOp) -> Check {
    use VcpuOp as Op;
    match operation {
        Op::Initialise
        | Op::Up
        | Op::Down
        | Op::IsUp
        | Op::GetRunstateInfo
        | Op::RegisterRunstateMemoryArea
        | Op::SetPeriodicTimer
        | Op::StopPeriodicTimer
        | Op::SetSingleshotTimer
        | Op::StopSingleshotTimer
        | Op::RegisterVcpuInfo
        | Op::SendNmi
        | Op::RegisterVcpuTimeMemoryArea => Check::Anyone,
        Op::GetPhysid => Check::Hardware,
    }
}

/// What the hypervisor is, and how it was booted.
#[must_use]
pub const fn version(operation: VersionOp) -> Check {
    use VersionOp as Op;
    match operation {
        Op::Version
        | Op::ExtraVersion
        | Op::CompileInfo
        | Op::Capabilities
        | Op::Changeset
        | Op::PlatformParameters
        | Op::GetFeatures
        | Op::PageSize
        | Op::GuestHandle => Check::Anyone,
        Op::CommandLine | Op::BuildId => Check::Controller,
    }
}

/// Interrupts, I/O privilege and PCI devices: a domain's own interrupts and I/O privilege are its own business, everything else
/// is about the machine.
#[must_use]
pub const fn physdev(operation: PhysdevOp) -> Check {
    use PhysdevOp as Op;
    match operation {
        Op::SetIopl
        | Op::SetIobitmap
        | Op::Eoi
        | Op::IrqStatusQuery
        | Op::IrqUnmaskNotify
        | Op::PirqEoiGmfnV1
        | Op::PirqEoiGmfnV2
        | Op::FreeIrqVector => Check::Anyone,
        Op::ApicRead
        | Op::GetFreePirq
        | Op::ApicWrite
        | Op::AllocIrqVector
        | Op::MapPirq
        | Op::UnmapPirq
        | Op::SetupGsi
        | Op::ManagePciAdd
        | Op::ManagePciRemove
        | Op::ManagePciAddExt
        | Op::RestoreMsi
        | Op::RestoreMsiExt
        | Op::PciMmcfgReserved
        | Op::PciDeviceAdd
        | Op::PciDeviceRemove
        | Op::DebugPortOp
        | Op::PrepareMsix
        | Op::ReleaseMsix => Check::Hardware,
    }
}
