//! Control of one domain by tools: the operation itself.
//!
//! What the union of a [`Domctl`] holds is a structure of [`domctl_domain`](crate::domctl_domain),
//! [`domctl_vcpu`](crate::domctl_vcpu), [`domctl_memory`](crate::domctl_memory) or
//! [`domctl_device`](crate::domctl_device); see [`payload`](crate::payload) for how to read and write it.

use crate::ids::DomId;
use crate::payload::Payload;

abi! {
    headers ["xen/domctl.h"];

    enumeration! {
        /// [`Domctl::cmd`].
        pub enum DomctlOp: u32 {
            /// [`CreateDomain`](crate::domctl_domain::CreateDomain).
            CreateDomain = 1 => "XEN_DOMCTL_createdomain",
            /// Nothing more.
            DestroyDomain = 2 => "XEN_DOMCTL_destroydomain",
            /// Nothing more.
            PauseDomain = 3 => "XEN_DOMCTL_pausedomain",
            /// Nothing more.
            UnpauseDomain = 4 => "XEN_DOMCTL_unpausedomain",
            /// [`DomainInfo`](crate::domctl_domain::DomainInfo): of the first domain whose number is not below the given one.
            GetDomainInfo = 5 => "XEN_DOMCTL_getdomaininfo",
            /// [`VcpuAffinity`](crate::domctl_vcpu::VcpuAffinity).
            SetVcpuAffinity = 9 => "XEN_DOMCTL_setvcpuaffinity",
            /// [`ShadowOp`](crate::domctl_memory::ShadowOp).
            ShadowOp = 10 => "XEN_DOMCTL_shadow_op",
            /// [`MaxMem`](crate::domctl_memory::MaxMem).
            MaxMem = 11 => "XEN_DOMCTL_max_mem",
            /// [`VcpuContext`](crate::domctl_vcpu::VcpuContext).
            SetVcpuContext = 12 => "XEN_DOMCTL_setvcpucontext",
            /// [`VcpuContext`](crate::domctl_vcpu::VcpuContext).
            GetVcpuContext = 13 => "XEN_DOMCTL_getvcpucontext",
            /// [`VcpuState`](crate::domctl_vcpu::VcpuState).
            GetVcpuInfo = 14 => "XEN_DOMCTL_getvcpuinfo",
            /// [`MaxVcpus`](crate::domctl_vcpu::MaxVcpus).
            MaxVcpus = 15 => "XEN_DOMCTL_max_vcpus",
            /// [`SchedulerOp`](crate::domctl_vcpu::SchedulerOp).
            SchedulerOp = 16 => "XEN_DOMCTL_scheduler_op",
            /// [`SetDomainHandle`](crate::domctl_domain::SetDomainHandle).
            SetDomainHandle = 17 => "XEN_DOMCTL_setdomainhandle",
            /// [`SetDebugging`](crate::domctl_domain::SetDebugging).
            SetDebugging = 18 => "XEN_DOMCTL_setdebugging",
            /// [`IrqPermission`](crate::domctl_device::IrqPermission).
            IrqPermission = 19 => "XEN_DOMCTL_irq_permission",
            /// [`IomemPermission`](crate::domctl_device::IomemPermission).
            IomemPermission = 20 => "XEN_DOMCTL_iomem_permission",
            /// [`IoportPermission`](crate::domctl_device::IoportPermission).
            IoportPermission = 21 => "XEN_DOMCTL_ioport_permission",
            /// [`HypercallInit`](crate::domctl_memory::HypercallInit).
            HypercallInit = 22 => "XEN_DOMCTL_hypercall_init",
            /// Never comes from tools.
            SoftResetContinuation = 23 => (absent "internal: the headers hide it from guests and tools"),
            /// [`SetTimeOffset`](crate::domctl_domain::SetTimeOffset).
            SetTimeOffset = 24 => "XEN_DOMCTL_settimeoffset",
            /// [`VcpuAffinity`](crate::domctl_vcpu::VcpuAffinity).
            GetVcpuAffinity = 25 => "XEN_DOMCTL_getvcpuaffinity",
            /// For another architecture.
            RealModeArea = 26 => "XEN_DOMCTL_real_mode_area",
            /// Nothing more: undoes a suspend.
            ResumeDomain = 27 => "XEN_DOMCTL_resumedomain",
            /// [`SendTrigger`](crate::domctl_domain::SendTrigger).
            SendTrigger = 28 => "XEN_DOMCTL_sendtrigger",
            /// [`Subscribe`](crate::domctl_domain::Subscribe).
            Subscribe = 29 => "XEN_DOMCTL_subscribe",
            /// For hardware-assisted guests.
            GetHvmContext = 33 => "XEN_DOMCTL_gethvmcontext",
            /// For hardware-assisted guests.
            SetHvmContext = 34 => "XEN_DOMCTL_sethvmcontext",
            /// [`AddressSize`](crate::domctl_memory::AddressSize).
            SetAddressSize = 35 => "XEN_DOMCTL_set_address_size",
            /// [`AddressSize`](crate::domctl_memory::AddressSize).
            GetAddressSize = 36 => "XEN_DOMCTL_get_address_size",
            /// [`AssignDevice`](crate::domctl_device::AssignDevice).
            AssignDevice = 37 => "XEN_DOMCTL_assign_device",
            /// For hardware-assisted guests.
            BindPtIrq = 38 => "XEN_DOMCTL_bind_pt_irq",
            /// [`MemoryMapping`](crate::domctl_device::MemoryMapping); for hardware-assisted guests.
            MemoryMapping = 39 => "XEN_DOMCTL_memory_mapping",
            /// [`IoportMapping`](crate::domctl_device::IoportMapping); for hardware-assisted guests.
            IoportMapping = 40 => "XEN_DOMCTL_ioport_mapping",
            /// [`ExtVcpuContext`](crate::domctl_vcpu::ExtVcpuContext).
            SetExtVcpuContext = 42 => "XEN_DOMCTL_set_ext_vcpucontext",
            /// [`ExtVcpuContext`](crate::domctl_vcpu::ExtVcpuContext).
            GetExtVcpuContext = 43 => "XEN_DOMCTL_get_ext_vcpucontext",
            /// For another architecture.
            SetOptFeature = 44 => "XEN_DOMCTL_set_opt_feature",
            /// [`AssignDevice`](crate::domctl_device::AssignDevice).
            TestAssignDevice = 45 => "XEN_DOMCTL_test_assign_device",
            /// [`SetTarget`](crate::domctl_domain::SetTarget).
            SetTarget = 46 => "XEN_DOMCTL_set_target",
            /// [`AssignDevice`](crate::domctl_device::AssignDevice).
            DeassignDevice = 47 => "XEN_DOMCTL_deassign_device",
            /// For hardware-assisted guests.
            UnbindPtIrq = 48 => "XEN_DOMCTL_unbind_pt_irq",
            /// [`DeviceGroup`](crate::domctl_device::DeviceGroup).
            GetDeviceGroup = 50 => "XEN_DOMCTL_get_device_group",
            /// For hardware-assisted guests.
            DebugOp = 54 => "XEN_DOMCTL_debug_op",
            /// For hardware-assisted guests.
            GetHvmContextPartial = 55 => "XEN_DOMCTL_gethvmcontext_partial",
            /// For hardware-assisted guests.
            VmEventOp = 56 => "XEN_DOMCTL_vm_event_op",
            /// For hardware-assisted guests.
            MemSharingOp = 57 => "XEN_DOMCTL_mem_sharing_op",
            /// [`TscInfo`](crate::domctl_vcpu::TscInfo).
            GetTscInfo = 59 => "XEN_DOMCTL_gettscinfo",
            /// [`TscInfo`](crate::domctl_vcpu::TscInfo).
            SetTscInfo = 60 => "XEN_DOMCTL_settscinfo",
            /// [`PageFrameInfo`](crate::domctl_memory::PageFrameInfo).
            GetPageFrameInfo = 61 => "XEN_DOMCTL_getpageframeinfo3",
            /// [`VcpuExtendedState`](crate::domctl_vcpu::VcpuExtendedState).
            SetVcpuExtendedState = 62 => "XEN_DOMCTL_setvcpuextstate",
            /// [`VcpuExtendedState`](crate::domctl_vcpu::VcpuExtendedState).
            GetVcpuExtendedState = 63 => "XEN_DOMCTL_getvcpuextstate",
            /// For hardware-assisted guests.
            SetAccessRequired = 64 => "XEN_DOMCTL_set_access_required",
            /// For hardware-assisted guests.
            AuditP2m = 65 => "XEN_DOMCTL_audit_p2m",
            /// [`SetVirqHandler`](crate::domctl_domain::SetVirqHandler).
            SetVirqHandler = 66 => "XEN_DOMCTL_set_virq_handler",
            /// For hardware-assisted guests.
            SetBrokenPageP2m = 67 => "XEN_DOMCTL_set_broken_page_p2m",
            /// [`NodeAffinity`](crate::domctl_domain::NodeAffinity).
            SetNodeAffinity = 68 => "XEN_DOMCTL_setnodeaffinity",
            /// [`NodeAffinity`](crate::domctl_domain::NodeAffinity).
            GetNodeAffinity = 69 => "XEN_DOMCTL_getnodeaffinity",
            /// For another architecture.
            CacheFlush = 71 => "XEN_DOMCTL_cacheflush",
            /// [`VcpuMsrs`](crate::domctl_vcpu::VcpuMsrs).
            GetVcpuMsrs = 72 => "XEN_DOMCTL_get_vcpu_msrs",
            /// [`VcpuMsrs`](crate::domctl_vcpu::VcpuMsrs).
            SetVcpuMsrs = 73 => "XEN_DOMCTL_set_vcpu_msrs",
            /// [`VirtualNuma`](crate::domctl_memory::VirtualNuma).
            SetVnumaInfo = 74 => "XEN_DOMCTL_setvnumainfo",
            /// Cache monitoring; not offered.
            PsrCmtOp = 75 => "XEN_DOMCTL_psr_cmt_op",
            /// For hardware-assisted guests.
            MonitorOp = 77 => "XEN_DOMCTL_monitor_op",
            /// Cache allocation; not offered.
            PsrAlloc = 78 => "XEN_DOMCTL_psr_alloc",
            /// Nothing more: starts over in the same domain.
            SoftReset = 79 => "XEN_DOMCTL_soft_reset",
            /// For another architecture.
            VuartOp = 81 => "XEN_DOMCTL_vuart_op",
            /// [`CpuPolicy`](crate::domctl_vcpu::CpuPolicy).
            GetCpuPolicy = 82 => "XEN_DOMCTL_get_cpu_policy",
            /// [`CpuPolicy`](crate::domctl_vcpu::CpuPolicy).
            SetCpuPolicy = 83 => "XEN_DOMCTL_set_cpu_policy",
            /// For hardware-assisted guests.
            VmtraceOp = 84 => "XEN_DOMCTL_vmtrace_op",
            /// [`PagingMempool`](crate::domctl_memory::PagingMempool).
            GetPagingMempoolSize = 85 => "XEN_DOMCTL_get_paging_mempool_size",
            /// [`PagingMempool`](crate::domctl_memory::PagingMempool).
            SetPagingMempoolSize = 86 => "XEN_DOMCTL_set_paging_mempool_size",
            /// A debugger reads or writes memory.
            DebuggerMemory = 1000 => "XEN_DOMCTL_gdbsx_guestmemio",
            /// A debugger pauses a vCPU.
            DebuggerPauseVcpu = 1001 => "XEN_DOMCTL_gdbsx_pausevcpu",
            /// A debugger lets a vCPU go on.
            DebuggerUnpauseVcpu = 1002 => "XEN_DOMCTL_gdbsx_unpausevcpu",
            /// A debugger asks for the domain's state.
            DebuggerStatus = 1003 => "XEN_DOMCTL_gdbsx_domstatus",
        }

    }

    numbers! {
        /// [`Domctl::interface_version`]; another one is refused with `EACCES`.
        pub const INTERFACE_VERSION: u32 = 0x15 => "XEN_DOMCTL_INTERFACE_VERSION";
    }

    layout! {
        /// The argument of the hypercall.
        pub struct Domctl [144] "struct xen_domctl" {
            /// A [`DomctlOp`].
            0 cmd: u32,
            /// [`INTERFACE_VERSION`].
            4 interface_version: u32,
            /// Which domain.
            8 domain: DomId,
            /// Zero.
            10 pad: [u16; 3] = "_pad",
            /// What the command needs.
            16 u: Payload<16>,
        }

    }
}
