//! Control of the whole machine by tools: the operation itself, console, memory and domains.
//!
//! What the union of a [`Sysctl`] holds is a structure of this module, of
//! [`sysctl_cpu`](crate::sysctl_cpu) or of [`sysctl_power`](crate::sysctl_power); see
//! [`payload`](crate::payload) for how to read and write it.

use crate::bitmap::Bitmap;
use crate::ids::{DomId, Vaddr};
use crate::payload::Payload;

abi! {
    headers ["xen/sysctl.h"];

    enumeration! {
        /// [`Sysctl::cmd`].
        pub enum SysctlOp: u32 {
            /// [`ReadConsole`].
            ReadConsole = 1 => "XEN_SYSCTL_readconsole",
            /// [`TraceBufferOp`]; not offered.
            TraceBufferOp = 2 => "XEN_SYSCTL_tbuf_op",
            /// [`PhysInfo`].
            PhysInfo = 3 => "XEN_SYSCTL_physinfo",
            /// [`SchedulerId`](crate::sysctl_cpu::SchedulerId).
            SchedulerId = 4 => "XEN_SYSCTL_sched_id",
            /// Counters; not offered.
            PerfcOp = 5 => "XEN_SYSCTL_perfc_op",
            /// [`DomainInfoList`].
            GetDomainInfoList = 6 => "XEN_SYSCTL_getdomaininfolist",
            /// [`DebugKeys`].
            DebugKeys = 7 => "XEN_SYSCTL_debug_keys",
            /// [`CpuIdleTimes`](crate::sysctl_cpu::CpuIdleTimes).
            GetCpuInfo = 8 => "XEN_SYSCTL_getcpuinfo",
            /// [`AvailHeap`].
            AvailHeap = 9 => "XEN_SYSCTL_availheap",
            /// [`PmStat`](crate::sysctl_power::PmStat).
            GetPmStat = 10 => "XEN_SYSCTL_get_pmstat",
            /// [`CpuHotplug`](crate::sysctl_cpu::CpuHotplug).
            CpuHotplug = 11 => "XEN_SYSCTL_cpu_hotplug",
            /// [`PmOp`](crate::sysctl_power::PmOp).
            PmOp = 12 => "XEN_SYSCTL_pm_op",
            /// [`PageOfflineOp`].
            PageOfflineOp = 14 => "XEN_SYSCTL_page_offline_op",
            /// Statistics of locks; not offered.
            LockprofOp = 15 => "XEN_SYSCTL_lockprof_op",
            /// [`CpuTopologyInfo`](crate::sysctl_cpu::CpuTopologyInfo).
            CpuTopologyInfo = 16 => "XEN_SYSCTL_cputopoinfo",
            /// [`NumaInfo`](crate::sysctl_cpu::NumaInfo).
            NumaInfo = 17 => "XEN_SYSCTL_numainfo",
            /// [`CpupoolOp`](crate::sysctl_cpu::CpupoolOp).
            CpupoolOp = 18 => "XEN_SYSCTL_cpupool_op",
            /// [`SchedulerOp`](crate::sysctl_cpu::SchedulerOp).
            SchedulerOp = 19 => "XEN_SYSCTL_scheduler_op",
            /// Test coverage; not offered.
            CoverageOp = 20 => "XEN_SYSCTL_coverage_op",
            /// Cache monitoring; not offered.
            PsrCmtOp = 21 => "XEN_SYSCTL_psr_cmt_op",
            /// [`PciTopologyInfo`](crate::sysctl_cpu::PciTopologyInfo).
            PciTopologyInfo = 22 => "XEN_SYSCTL_pcitopoinfo",
            /// Cache allocation; not offered.
            PsrAlloc = 23 => "XEN_SYSCTL_psr_alloc",
            /// [`CpuLevellingCaps`](crate::sysctl_cpu::CpuLevellingCaps).
            GetCpuLevellingCaps = 25 => "XEN_SYSCTL_get_cpu_levelling_caps",
            /// [`CpuFeatureset`](crate::sysctl_cpu::CpuFeatureset).
            GetCpuFeatureset = 26 => "XEN_SYSCTL_get_cpu_featureset",
            /// Patches to the running hypervisor; not offered.
            LivepatchOp = 27 => "XEN_SYSCTL_livepatch_op",
            /// [`CpuPolicy`](crate::sysctl_cpu::CpuPolicy).
            GetCpuPolicy = 29 => "XEN_SYSCTL_get_cpu_policy",
        }

        /// [`TraceBufferOp::cmd`].
        pub enum TraceBufferCommand: u32 {
            /// Where it is.
            GetInfo = 0 => "XEN_SYSCTL_TBUFOP_get_info",
            /// Which processors write.
            SetCpuMask = 1 => "XEN_SYSCTL_TBUFOP_set_cpu_mask",
            /// What they write.
            SetEventMask = 2 => "XEN_SYSCTL_TBUFOP_set_evt_mask",
            /// How large it is.
            SetSize = 3 => "XEN_SYSCTL_TBUFOP_set_size",
            /// Start.
            Enable = 4 => "XEN_SYSCTL_TBUFOP_enable",
            /// Stop.
            Disable = 5 => "XEN_SYSCTL_TBUFOP_disable",
        }

        /// [`PageOfflineOp::cmd`].
        pub enum PageOfflineCommand: u32 {
            /// Take frames out of use.
            Offline = 1 => "sysctl_page_offline",
            /// Use them again.
            Online = 2 => "sysctl_page_online",
            /// Ask.
            Query = 3 => "sysctl_query_page_offline",
        }
    }

    numbers! {
        /// [`Sysctl::interface_version`]; another one is refused with `EACCES`.
        pub const INTERFACE_VERSION: u32 = 0x15 => "XEN_SYSCTL_INTERFACE_VERSION";
        /// Words of [`PhysInfo::hw_cap`].
        pub const NR_HW_CAPS: usize = 8 => "sizeof(((struct xen_sysctl_physinfo *)0)->hw_cap) / 4";
    }

    flags! {
        /// [`PhysInfo::capabilities`].
        pub struct PhysCapabilities: u32 {
            /// Hardware-assisted guests.
            HVM = 1 << 0 => "XEN_SYSCTL_PHYSCAP_hvm",
            /// Paravirtualized guests.
            PV = 1 << 1 => "XEN_SYSCTL_PHYSCAP_pv",
            /// Devices can be assigned.
            DIRECTIO = 1 << 2 => "XEN_SYSCTL_PHYSCAP_directio",
            /// Hardware-assisted paging.
            HAP = 1 << 3 => "XEN_SYSCTL_PHYSCAP_hap",
            /// Shadow paging.
            SHADOW = 1 << 4 => "XEN_SYSCTL_PHYSCAP_shadow",
            /// I/O tables can be the processor's tables.
            IOMMU_HAP_PT_SHARE = 1 << 5 => "XEN_SYSCTL_PHYSCAP_iommu_hap_pt_share",
            /// Trace buffers of vCPUs.
            VMTRACE = 1 << 6 => "XEN_SYSCTL_PHYSCAP_vmtrace",
            /// Performance counters.
            VPMU = 1 << 7 => "XEN_SYSCTL_PHYSCAP_vpmu",
            /// Grant tables of version 1.
            GNTTAB_V1 = 1 << 8 => "XEN_SYSCTL_PHYSCAP_gnttab_v1",
            /// Grant tables of version 2.
            GNTTAB_V2 = 1 << 9 => "XEN_SYSCTL_PHYSCAP_gnttab_v2",
        }

        /// What a [`PageOfflineOp`] answers when frames are taken or given back, lowest byte.
        pub struct PageOfflineResult: u32 {
            /// No memory.
            INVALID = 1 << 0 => "PG_OFFLINE_INVALID",
            /// Done.
            DONE = 1 << 1 => "PG_OFFLINE_OFFLINED",
            /// Will be done when its owner frees it.
            PENDING = 1 << 2 => "PG_OFFLINE_PENDING",
            /// Failed.
            FAILED = 1 << 3 => "PG_OFFLINE_FAILED",
            /// Try again.
            AGAIN = 1 << 4 => "PG_OFFLINE_AGAIN",
        }

        /// What a [`PageOfflineOp`] answers when asked, lowest byte.
        pub struct PageStatus: u32 {
            /// Out of use.
            OFFLINED = 1 << 1 => "PG_OFFLINE_STATUS_OFFLINED",
            /// In use.
            ONLINE = 1 << 2 => "PG_OFFLINE_STATUS_ONLINE",
            /// Will be taken when its owner frees it.
            OFFLINE_PENDING = 1 << 3 => "PG_OFFLINE_STATUS_OFFLINE_PENDING",
            /// Broken.
            BROKEN = 1 << 4 => "PG_OFFLINE_STATUS_BROKEN",
        }
    }

    layout! {
        /// The argument of the hypercall.
        pub struct Sysctl [136] "struct xen_sysctl" {
            /// A [`SysctlOp`].
            0 cmd: u32,
            /// [`INTERFACE_VERSION`].
            4 interface_version: u32,
            /// What the command needs.
            8 u: Payload<16>,
        }

        /// Reads the hypervisor's log.
        pub struct ReadConsole [24] "struct xen_sysctl_readconsole" {
            /// Non-zero: empty it.
            0 clear: u8,
            /// Non-zero: go on at `index`.
            1 incremental: u8,
            /// Zero.
            2 pad0: u8,
            /// Zero.
            3 pad1: u8,
            /// In: where to go on. Out: where it ends.
            4 index: u32,
            /// Where to write it.
            8 buffer: Vaddr,
            /// In: room. Out: bytes.
            16 count: u32,
            /// Zero.
            20 pad2: [u8; 4] = _,
        }

        /// Controls the trace buffer.
        pub struct TraceBufferOp [48] "struct xen_sysctl_tbuf_op" {
            /// A [`TraceBufferCommand`].
            0 cmd: u32,
            /// Zero.
            4 pad0: [u8; 4] = _,
            /// Which processors.
            8 cpu_mask: Bitmap,
            /// Which events.
            24 evt_mask: u32,
            /// Zero.
            28 pad1: [u8; 4] = _,
            /// Out: first frame.
            32 buffer_mfn: u64,
            /// Frames of a processor, or bytes of all.
            40 size: u32,
            /// Zero.
            44 pad2: [u8; 4] = _,
        }

        /// Describes the machine.
        pub struct PhysInfo [112] "struct xen_sysctl_physinfo" {
            /// Threads.
            0 threads_per_core: u32,
            /// Cores.
            4 cores_per_socket: u32,
            /// Processors in use.
            8 nr_cpus: u32,
            /// Highest processor number.
            12 max_cpu_id: u32,
            /// NUMA nodes in use.
            16 nr_nodes: u32,
            /// Highest node number.
            20 max_node_id: u32,
            /// Frequency of a processor.
            24 cpu_khz: u32,
            /// What is offered.
            28 capabilities: PhysCapabilities,
            /// The processor's part; zero.
            32 arch_capabilities: u32,
            /// Zero.
            36 pad: u32,
            /// Frames of the machine.
            40 total_pages: u64,
            /// Frames that are free.
            48 free_pages: u64,
            /// Free frames that are not yet scrubbed.
            56 scrub_pages: u64,
            /// Free frames that are set aside.
            64 outstanding_pages: u64,
            /// Highest frame number.
            72 max_mfn: u64,
            /// Feature words of CPUID.
            80 hw_cap: [u32; NR_HW_CAPS],
        }

        /// Describes domains.
        pub struct DomainInfoList [24] "struct xen_sysctl_getdomaininfolist" {
            /// Lowest number.
            0 first_domain: DomId,
            /// Zero.
            2 pad0: [u8; 2] = _,
            /// Room.
            4 max_domains: u32,
            /// [`DomainInfo`](crate::domctl_domain::DomainInfo) list.
            8 buffer: Vaddr,
            /// Out: how many.
            16 num_domains: u32,
            /// Zero.
            20 pad1: [u8; 4] = _,
        }

        /// Presses keys on the hypervisor's console.
        pub struct DebugKeys [16] "struct xen_sysctl_debug_keys" {
            /// Letters.
            0 keys: Vaddr,
            /// How many.
            8 nr_keys: u32,
            /// Zero.
            12 pad0: [u8; 4] = _,
        }

        /// Asks for free memory.
        pub struct AvailHeap [24] "struct xen_sysctl_availheap" {
            /// Lowest address width; 0 for any.
            0 min_bitwidth: u32,
            /// Highest address width; 0 for any.
            4 max_bitwidth: u32,
            /// NUMA node; -1 for all.
            8 node: i32,
            /// Zero.
            12 pad0: [u8; 4] = _,
            /// Out: bytes.
            16 avail_bytes: u64,
        }

        /// Takes frames out of use.
        pub struct PageOfflineOp [24] "struct xen_sysctl_page_offline_op" {
            /// A [`PageOfflineCommand`].
            0 cmd: u32,
            /// First frame.
            4 start: u32,
            /// Last frame.
            8 end: u32,
            /// Zero.
            12 pad0: [u8; 4] = _,
            /// Where to write answers, 4 bytes each.
            16 status: Vaddr,
        }
    }
}
