//! Control of the machine's processors by tools: topology, pools, scheduling and what they can do.

use crate::bitmap::Bitmap;
use crate::ids::Vaddr;
use crate::payload::Payload;

abi! {
    headers ["xen/sysctl.h"];

    enumeration! {
        /// [`CpuHotplug::op`].
        pub enum CpuHotplugAction: u32 {
            /// Use it.
            Online = 0 => "XEN_SYSCTL_CPU_HOTPLUG_ONLINE",
            /// Do not use it.
            Offline = 1 => "XEN_SYSCTL_CPU_HOTPLUG_OFFLINE",
            /// Use all threads of cores.
            SmtEnable = 2 => "XEN_SYSCTL_CPU_HOTPLUG_SMT_ENABLE",
            /// Use one thread of a core.
            SmtDisable = 3 => "XEN_SYSCTL_CPU_HOTPLUG_SMT_DISABLE",
        }

        /// [`CpupoolOp::op`].
        pub enum CpupoolAction: u32 {
            /// Make one.
            Create = 1 => "XEN_SYSCTL_CPUPOOL_OP_CREATE",
            /// Remove one.
            Destroy = 2 => "XEN_SYSCTL_CPUPOOL_OP_DESTROY",
            /// Describe the first one whose number is not below the given one.
            Info = 3 => "XEN_SYSCTL_CPUPOOL_OP_INFO",
            /// Give it a processor.
            AddCpu = 4 => "XEN_SYSCTL_CPUPOOL_OP_ADDCPU",
            /// Take a processor away.
            RemoveCpu = 5 => "XEN_SYSCTL_CPUPOOL_OP_RMCPU",
            /// Move a domain to it.
            MoveDomain = 6 => "XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN",
            /// Which processors are in none.
            FreeInfo = 7 => "XEN_SYSCTL_CPUPOOL_OP_FREEINFO",
        }

        /// [`SchedulerOp::cmd`].
        pub enum SchedulerCommand: u32 {
            /// Set parameters.
            PutInfo = 0 => "XEN_SYSCTL_SCHEDOP_putinfo",
            /// Read parameters.
            GetInfo = 1 => "XEN_SYSCTL_SCHEDOP_getinfo",
        }

        /// [`CpuFeatureset::index`].
        pub enum FeaturesetIndex: u32 {
            /// Of the hardware.
            Raw = 0 => "XEN_SYSCTL_cpu_featureset_raw",
            /// In use by the hypervisor.
            Host = 1 => "XEN_SYSCTL_cpu_featureset_host",
            /// For paravirtualized guests, as default.
            Pv = 2 => "XEN_SYSCTL_cpu_featureset_pv",
            /// For hardware-assisted guests, as default.
            Hvm = 3 => "XEN_SYSCTL_cpu_featureset_hvm",
            /// For paravirtualized guests, at most.
            PvMax = 4 => "XEN_SYSCTL_cpu_featureset_pv_max",
            /// For hardware-assisted guests, at most.
            HvmMax = 5 => "XEN_SYSCTL_cpu_featureset_hvm_max",
        }

        /// [`CpuPolicy::index`].
        pub enum CpuPolicyIndex: u32 {
            /// Of the hardware.
            Raw = 0 => "XEN_SYSCTL_cpu_policy_raw",
            /// In use by the hypervisor.
            Host = 1 => "XEN_SYSCTL_cpu_policy_host",
            /// For paravirtualized guests, at most.
            PvMax = 2 => "XEN_SYSCTL_cpu_policy_pv_max",
            /// For hardware-assisted guests, at most.
            HvmMax = 3 => "XEN_SYSCTL_cpu_policy_hvm_max",
            /// For paravirtualized guests, as default.
            PvDefault = 4 => "XEN_SYSCTL_cpu_policy_pv_default",
            /// For hardware-assisted guests, as default.
            HvmDefault = 5 => "XEN_SYSCTL_cpu_policy_hvm_default",
        }
    }

    numbers! {
        /// [`CpuTopology::core`] of a processor that is not there.
        pub const INVALID_CORE: u32 = u32::MAX => "XEN_INVALID_CORE_ID";
        /// [`CpuTopology::socket`] of a processor that is not there.
        pub const INVALID_SOCKET: u32 = u32::MAX => "XEN_INVALID_SOCKET_ID";
        /// [`CpuTopology::node`] of a processor that is not there; a device's node that is not known.
        pub const INVALID_NODE: u32 = u32::MAX => "XEN_INVALID_NODE_ID";
        /// Node of a device that is not there.
        pub const INVALID_DEVICE: u32 = u32::MAX - 1 => "XEN_INVALID_DEV";
        /// [`NodeMemory`] of a node that is not there. Not wider than this.
        pub const INVALID_MEMORY_SIZE: u32 = u32::MAX => "XEN_INVALID_MEM_SZ";
        /// Distance to a node that is not there.
        pub const INVALID_DISTANCE: u32 = u32::MAX => "XEN_INVALID_NODE_DIST";
        /// [`CpupoolOp::cpupool_id`] and [`CpupoolOp::cpu`]: choose one.
        pub const CPUPOOL_ANY: u32 = u32::MAX => "XEN_SYSCTL_CPUPOOL_PAR_ANY";
        /// Highest [`CreditSchedule::ratelimit_us`].
        pub const RATELIMIT_MAX_US: u32 = 500_000 => "XEN_SYSCTL_SCHED_RATELIMIT_MAX";
        /// Lowest [`CreditSchedule::ratelimit_us`] but 0.
        pub const RATELIMIT_MIN_US: u32 = 100 => "XEN_SYSCTL_SCHED_RATELIMIT_MIN";
        /// Highest [`CreditSchedule::tslice_ms`].
        pub const CREDIT_TSLICE_MAX_MS: u32 = 1000 => "XEN_SYSCTL_CSCHED_TSLICE_MAX";
        /// Lowest [`CreditSchedule::tslice_ms`].
        pub const CREDIT_TSLICE_MIN_MS: u32 = 1 => "XEN_SYSCTL_CSCHED_TSLICE_MIN";
        /// Highest [`CreditSchedule::vcpu_migr_delay_us`].
        pub const CREDIT_MIGRATION_DELAY_MAX_US: u32 = 100_000 => "XEN_SYSCTL_CSCHED_MGR_DLY_MAX_US";
    }

    flags! {
        /// [`CpuLevellingCaps::caps`].
        pub struct LevellingCaps: u32 {
            /// CPUID can be made to fault.
            FAULTING = 1 << 0 => "XEN_SYSCTL_CPU_LEVELCAP_faulting",
            /// Leaf 1, ECX.
            ECX = 1 << 1 => "XEN_SYSCTL_CPU_LEVELCAP_ecx",
            /// Leaf 1, EDX.
            EDX = 1 << 2 => "XEN_SYSCTL_CPU_LEVELCAP_edx",
            /// Leaf 0x80000001, ECX.
            EXTD_ECX = 1 << 3 => "XEN_SYSCTL_CPU_LEVELCAP_extd_ecx",
            /// Leaf 0x80000001, EDX.
            EXTD_EDX = 1 << 4 => "XEN_SYSCTL_CPU_LEVELCAP_extd_edx",
            /// Leaf 0xD, sub-leaf 1, EAX.
            XSAVE_EAX = 1 << 5 => "XEN_SYSCTL_CPU_LEVELCAP_xsave_eax",
            /// Leaf 6, ECX.
            THERMAL_ECX = 1 << 6 => "XEN_SYSCTL_CPU_LEVELCAP_thermal_ecx",
            /// Leaf 7, EAX.
            L7S0_EAX = 1 << 7 => "XEN_SYSCTL_CPU_LEVELCAP_l7s0_eax",
            /// Leaf 7, EBX.
            L7S0_EBX = 1 << 8 => "XEN_SYSCTL_CPU_LEVELCAP_l7s0_ebx",
        }
    }

    layout! {
        /// Asks for the scheduler.
        pub struct SchedulerId [4] "struct xen_sysctl_sched_id" {
            /// Out: a [`Scheduler`](crate::domctl_vcpu::Scheduler).
            0 sched_id: u32,
        }

        /// One processor's idle time.
        pub struct CpuIdleTime [8] "struct xen_sysctl_cpuinfo" {
            /// Nanoseconds.
            0 idletime: u64,
        }

        /// Reads idle times.
        pub struct CpuIdleTimes [24] "struct xen_sysctl_getcpuinfo" {
            /// Room.
            0 max_cpus: u32,
            /// Zero.
            4 pad0: [u8; 4] = _,
            /// [`CpuIdleTime`] list.
            8 info: Vaddr,
            /// Out: how many.
            16 nr_cpus: u32,
            /// Zero.
            20 pad1: [u8; 4] = _,
        }

        /// Takes a processor into use or out of it.
        pub struct CpuHotplug [8] "struct xen_sysctl_cpu_hotplug" {
            /// Which.
            0 cpu: u32,
            /// A [`CpuHotplugAction`].
            4 op: u32,
        }

        /// Where a processor is.
        pub struct CpuTopology [12] "struct xen_sysctl_cputopo" {
            /// Core.
            0 core: u32,
            /// Socket.
            4 socket: u32,
            /// NUMA node.
            8 node: u32,
        }

        /// Asks where processors are.
        pub struct CpuTopologyInfo [16] "struct xen_sysctl_cputopoinfo" {
            /// In: room. Out: how many.
            0 num_cpus: u32,
            /// Zero.
            4 pad0: [u8; 4] = _,
            /// [`CpuTopology`] list; 0 to ask for its length.
            8 cputopo: Vaddr,
        }

        /// One NUMA node's memory.
        pub struct NodeMemory [16] "struct xen_sysctl_meminfo" {
            /// Bytes.
            0 memsize: u64,
            /// Bytes that are free.
            8 memfree: u64,
        }

        /// Asks about NUMA nodes.
        pub struct NumaInfo [24] "struct xen_sysctl_numainfo" {
            /// In: room. Out: how many.
            0 num_nodes: u32,
            /// Zero.
            4 pad0: [u8; 4] = _,
            /// [`NodeMemory`] list, or 0.
            8 meminfo: Vaddr,
            /// Distances, 4 bytes each, of every node to every node; or 0.
            16 distance: Vaddr,
        }

        /// Asks where devices are.
        pub struct PciTopologyInfo [24] "struct xen_sysctl_pcitopoinfo" {
            /// In: how many. Out: how many are done.
            0 num_devs: u32,
            /// Zero.
            4 pad0: [u8; 4] = _,
            /// [`PciDevice`](crate::physdev::PciDevice) list.
            8 devs: Vaddr,
            /// Where to write NUMA nodes, 4 bytes each.
            16 nodes: Vaddr,
        }

        /// Pools of processors.
        pub struct CpupoolOp [40] "struct xen_sysctl_cpupool_op" {
            /// A [`CpupoolAction`].
            0 op: u32,
            /// In: which. Out: which it is.
            4 cpupool_id: u32,
            /// Its [`Scheduler`](crate::domctl_vcpu::Scheduler).
            8 sched_id: u32,
            /// Which domain.
            12 domid: u32,
            /// Which processor.
            16 cpu: u32,
            /// Out: domains in it.
            20 n_dom: u32,
            /// Out: processors in it.
            24 cpumap: Bitmap,
        }

        /// Scheduling parameters of a pool.
        pub struct SchedulerOp [32] "struct xen_sysctl_scheduler_op" {
            /// Which pool.
            0 cpupool_id: u32,
            /// Its [`Scheduler`](crate::domctl_vcpu::Scheduler).
            4 sched_id: u32,
            /// A [`SchedulerCommand`].
            8 cmd: u32,
            /// Zero.
            12 pad0: [u8; 4] = _,
            /// What the scheduler needs.
            16 u: Payload<2>,
        }

        /// Parameters of the credit scheduler.
        pub struct CreditSchedule [12] "struct xen_sysctl_credit_schedule" {
            /// How long a vCPU may run.
            0 tslice_ms: u32,
            /// How long a vCPU runs at least; 0 for no limit.
            4 ratelimit_us: u32,
            /// How long a vCPU stays where its caches are warm.
            8 vcpu_migr_delay_us: u32,
        }

        /// Parameters of the credit scheduler, second version.
        pub struct Credit2Schedule [4] "struct xen_sysctl_credit2_schedule" {
            /// How long a vCPU runs at least; 0 for no limit.
            0 ratelimit_us: u32,
        }

        /// Asks which parts of CPUID hardware can hide.
        pub struct CpuLevellingCaps [4] "struct xen_sysctl_cpu_levelling_caps" {
            /// Out: which.
            0 caps: LevellingCaps,
        }

        /// Asks for feature words.
        pub struct CpuFeatureset [16] "struct xen_sysctl_cpu_featureset" {
            /// A [`FeaturesetIndex`].
            0 index: u32,
            /// In: room. Out: how many.
            4 nr_features: u32,
            /// Where to write them, 4 bytes each; 0 to ask for their number.
            8 features: Vaddr,
        }

        /// Asks for CPUID leaves and MSRs.
        pub struct CpuPolicy [32] "struct xen_sysctl_cpu_policy" {
            /// A [`CpuPolicyIndex`].
            0 index: u32,
            /// In: room. Out: how many.
            4 nr_leaves: u32,
            /// In: room. Out: how many.
            8 nr_msrs: u32,
            /// Zero.
            12 reserved: u32 = "_rsvd",
            /// [`CpuidLeaf`](crate::cpu_policy::CpuidLeaf) list; 0 to ask for its length.
            16 leaves: Vaddr,
            /// [`MsrEntry`](crate::cpu_policy::MsrEntry) list; 0 to ask for its length.
            24 msrs: Vaddr,
        }
    }
}
