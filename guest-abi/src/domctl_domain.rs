//! Control of one domain by tools: creation, description and life cycle.

use crate::bitmap::Bitmap;
use crate::ids::{DomId, Port};

abi! {
    headers ["xen/domctl.h"];

    enumeration! {
        /// [`SendTrigger::trigger`].
        pub enum Trigger: u32 {
            /// Non-maskable interrupt.
            Nmi = 0 => "XEN_DOMCTL_SENDTRIGGER_NMI",
            /// For hardware-assisted guests.
            Reset = 1 => "XEN_DOMCTL_SENDTRIGGER_RESET",
            /// For hardware-assisted guests.
            Init = 2 => "XEN_DOMCTL_SENDTRIGGER_INIT",
            /// For hardware-assisted guests.
            Power = 3 => "XEN_DOMCTL_SENDTRIGGER_POWER",
            /// For hardware-assisted guests.
            Sleep = 4 => "XEN_DOMCTL_SENDTRIGGER_SLEEP",
        }
    }

    numbers! {
        /// Low bits of [`CreateDomain::grant_opts`]: highest version of grant tables.
        pub const GRANT_VERSION_MASK: u32 = 0xF => "XEN_DOMCTL_GRANT_version_mask";
        /// [`DomainInfo::max_vcpu_id`] of a domain without vCPUs.
        pub const INVALID_MAX_VCPU_ID: u32 = u32::MAX => "XEN_INVALID_MAX_VCPU_ID";
        /// Where in [`DomainInfo::flags`] the shutdown reason starts.
        pub const SHUTDOWN_REASON_SHIFT: u32 = 16 => "XEN_DOMINF_shutdownshift";
        /// The shutdown reason of a domain that has not shut down.
        pub const NO_SHUTDOWN_REASON: u32 = 255 => "XEN_DOMINF_shutdownmask";
    }

    flags! {
        /// [`CreateDomain::flags`]. None is needed for a paravirtualized domain.
        pub struct CreateFlags: u32 {
            /// Hardware-assisted.
            HVM = 1 << 0 => "XEN_DOMCTL_CDF_hvm",
            /// With hardware-assisted paging.
            HAP = 1 << 1 => "XEN_DOMCTL_CDF_hap",
            /// Memory is checked across suspend of the machine.
            S3_INTEGRITY = 1 << 2 => "XEN_DOMCTL_CDF_s3_integrity",
            /// Shadow tables are kept in step.
            OOS_OFF = 1 << 3 => "XEN_DOMCTL_CDF_oos_off",
            /// The domain runs the store.
            XS_DOMAIN = 1 << 4 => "XEN_DOMCTL_CDF_xs_domain",
            /// Devices can be assigned.
            IOMMU = 1 << 5 => "XEN_DOMCTL_CDF_iommu",
            /// The domain can be a hypervisor.
            NESTED_VIRT = 1 << 6 => "XEN_DOMCTL_CDF_nested_virt",
            /// The domain has performance counters.
            VPMU = 1 << 7 => "XEN_DOMCTL_CDF_vpmu",
        }

        /// [`CreateDomain::iommu_opts`].
        pub struct IommuOptions: u32 {
            /// I/O tables are not the processor's tables.
            NO_SHAREPT = 1 << 0 => "XEN_DOMCTL_IOMMU_no_sharept",
        }

        /// [`ArchDomainConfig::emulation_flags`]. Empty for a paravirtualized domain, but
        /// [`PIT`](Self::PIT) for the first one.
        pub struct EmulationFlags: u32 {
            /// Local APIC.
            LAPIC = 1 << 0 => "XEN_X86_EMU_LAPIC",
            /// High-precision timer.
            HPET = 1 << 1 => "XEN_X86_EMU_HPET",
            /// Power-management timer.
            PM = 1 << 2 => "XEN_X86_EMU_PM",
            /// Real-time clock.
            RTC = 1 << 3 => "XEN_X86_EMU_RTC",
            /// I/O APIC.
            IOAPIC = 1 << 4 => "XEN_X86_EMU_IOAPIC",
            /// Legacy interrupt controllers.
            PIC = 1 << 5 => "XEN_X86_EMU_PIC",
            /// Screen.
            VGA = 1 << 6 => "XEN_X86_EMU_VGA",
            /// I/O translation.
            IOMMU = 1 << 7 => "XEN_X86_EMU_IOMMU",
            /// Legacy timer.
            PIT = 1 << 8 => "XEN_X86_EMU_PIT",
            /// Physical interrupts as event channels.
            USE_PIRQ = 1 << 9 => "XEN_X86_EMU_USE_PIRQ",
            /// PCI configuration space.
            VPCI = 1 << 10 => "XEN_X86_EMU_VPCI",
        }

        /// [`ArchDomainConfig::misc_flags`].
        pub struct MiscFlags: u32 {
            /// Reads of MSRs that are not handled give the hardware's value or 0.
            MSR_RELAXED = 1 << 0 => "XEN_X86_MSR_RELAXED",
        }

        /// Low bits of [`DomainInfo::flags`].
        pub struct DomainInfoFlags: u32 {
            /// Being destroyed.
            DYING = 1 << 0 => "XEN_DOMINF_dying",
            /// Hardware-assisted.
            HVM_GUEST = 1 << 1 => "XEN_DOMINF_hvm_guest",
            /// Has shut down; see [`DomainInfo::shutdown_reason`].
            SHUTDOWN = 1 << 2 => "XEN_DOMINF_shutdown",
            /// Paused by tools.
            PAUSED = 1 << 3 => "XEN_DOMINF_paused",
            /// All vCPUs wait.
            BLOCKED = 1 << 4 => "XEN_DOMINF_blocked",
            /// Some vCPU runs.
            RUNNING = 1 << 5 => "XEN_DOMINF_running",
            /// Paused by a debugger.
            DEBUGGED = 1 << 6 => "XEN_DOMINF_debugged",
            /// Runs the store.
            XS_DOMAIN = 1 << 7 => "XEN_DOMINF_xs_domain",
            /// With hardware-assisted paging.
            HAP = 1 << 8 => "XEN_DOMINF_hap",
            /// Shutdown reason.
            SHUTDOWN_REASON = 0xFF << 16 => "XEN_DOMINF_shutdownmask << XEN_DOMINF_shutdownshift",
        }
    }

    layout! {
        /// The processor's part of a domain's configuration.
        pub struct ArchDomainConfig [8] "struct xen_arch_domainconfig" {
            /// Emulated devices.
            0 emulation_flags: EmulationFlags,
            /// Flags.
            4 misc_flags: MiscFlags,
        }

        /// Makes a domain: paused, without memory and vCPUs. The number 0 lets the hypervisor choose one.
        pub struct CreateDomain [64] "struct xen_domctl_createdomain" {
            /// Security label.
            0 ssidref: u32,
            /// Identity.
            4 handle: [u8; 16],
            /// Flags.
            20 flags: CreateFlags,
            /// Options for devices.
            24 iommu_opts: IommuOptions,
            /// vCPUs, at least one.
            28 max_vcpus: u32,
            /// Highest port.
            32 max_evtchn_port: u32,
            /// Grant frames; negative for the default.
            36 max_grant_frames: i32,
            /// Frames of mapping handles; negative for the default.
            40 max_maptrack_frames: i32,
            /// Highest version of grant tables, see [`GRANT_VERSION_MASK`].
            44 grant_opts: u32,
            /// Bytes of trace buffer of each vCPU.
            48 vmtrace_size: u32,
            /// Pool of processors.
            52 cpupool_id: u32,
            /// The processor's part.
            56 arch: ArchDomainConfig,
        }

        /// Describes a domain.
        pub struct DomainInfo [112] "struct xen_domctl_getdomaininfo" {
            /// Which.
            0 domain: DomId,
            /// Zero.
            2 pad1: u16,
            /// Flags and shutdown reason.
            4 flags: DomainInfoFlags,
            /// Frames.
            8 tot_pages: u64,
            /// Frames at most.
            16 max_pages: u64,
            /// Frames set aside.
            24 outstanding_pages: u64,
            /// Frames that are shared.
            32 shr_pages: u64,
            /// Frames that are paged out.
            40 paged_pages: u64,
            /// Frame of [`SharedInfo`](crate::shared_info::SharedInfo).
            48 shared_info_frame: u64,
            /// Nanoseconds of all vCPUs.
            56 cpu_time: u64,
            /// vCPUs that are up.
            64 nr_online_vcpus: u32,
            /// Highest vCPU number, or [`INVALID_MAX_VCPU_ID`].
            68 max_vcpu_id: u32,
            /// Security label.
            72 ssidref: u32,
            /// Identity.
            76 handle: [u8; 16],
            /// Pool of processors.
            92 cpupool: u32,
            /// Bits of a guest-physical address.
            96 gpaddr_bits: u8,
            /// Zero.
            97 pad2: [u8; 7],
            /// The processor's part.
            104 arch_config: ArchDomainConfig,
        }

        /// Sets a domain's identity.
        pub struct SetDomainHandle [16] "struct xen_domctl_setdomainhandle" {
            /// Identity.
            0 handle: [u8; 16],
        }

        /// Lets a debugger handle a domain's breakpoints.
        pub struct SetDebugging [1] "struct xen_domctl_setdebugging" {
            /// 0 or 1.
            0 enable: u8,
        }

        /// Sets how a domain's wall clock differs from UTC.
        pub struct SetTimeOffset [8] "struct xen_domctl_settimeoffset" {
            /// Seconds.
            0 time_offset_seconds: i64,
        }

        /// Interrupts a vCPU.
        pub struct SendTrigger [8] "struct xen_domctl_sendtrigger" {
            /// A [`Trigger`].
            0 trigger: u32,
            /// Which.
            4 vcpu: u32,
        }

        /// Names the port that is notified when the domain suspends.
        pub struct Subscribe [4] "struct xen_domctl_subscribe" {
            /// The caller's port; 0 for none.
            0 port: Port,
        }

        /// Gives a domain power over another one.
        pub struct SetTarget [2] "struct xen_domctl_set_target" {
            /// The other one.
            0 target: DomId,
        }

        /// Redirects a global virtual interrupt to a domain.
        pub struct SetVirqHandler [4] "struct xen_domctl_set_virq_handler" {
            /// A [`Virq`](crate::event_channel::Virq).
            0 virq: u32,
        }

        /// Where a domain's memory should come from.
        pub struct NodeAffinity [16] "struct xen_domctl_nodeaffinity" {
            /// NUMA nodes.
            0 nodemap: Bitmap,
        }
    }
}

impl DomainInfo {
    /// A [`ShutdownReason`](crate::sched_op::ShutdownReason), if the domain has shut down.
    #[must_use]
    pub const fn shutdown_reason(&self) -> Option<u8> {
        if self.flags.contains(DomainInfoFlags::SHUTDOWN) {
            let [_, _, reason, _] = self.flags.bits().to_le_bytes();
            Some(reason)
        } else {
            None
        }
    }
}
