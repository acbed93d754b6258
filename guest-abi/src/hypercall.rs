//! Hypercall numbers and the calling convention.
//!
//! SYSCALL in guest-kernel mode: number in RAX; arguments in RDI, RSI, RDX, R10, R8; result in RAX.
//! RCX and R11 are lost to the instruction, all other registers survive.

abi! {
    headers ["xen/xen.h", "xen/arch-x86/xen-mca.h"];

    enumeration! {
        /// Every assigned hypercall number, offered or not. An unknown number answers
        /// [`ENOSYS`](crate::errno::Errno::ENOSYS).
        pub enum Hypercall: u64 {
            /// Virtual interrupt descriptor table of the calling vCPU.
            SetTrapTable = 0 => "__HYPERVISOR_set_trap_table",
            /// Batched page-table and machine-to-physical updates.
            MmuUpdate = 1 => "__HYPERVISOR_mmu_update",
            /// Frames of the global descriptor table.
            SetGdt = 2 => "__HYPERVISOR_set_gdt",
            /// Kernel stack for entries from guest user mode.
            StackSwitch = 3 => "__HYPERVISOR_stack_switch",
            /// Old form of [`CallbackOp`](Self::CallbackOp); not used by 64-bit guests.
            SetCallbacks = 4 => "__HYPERVISOR_set_callbacks",
            /// Sets or clears the virtual task-switched flag.
            FpuTaskswitch = 5 => "__HYPERVISOR_fpu_taskswitch",
            /// Old form of [`SchedOp`](Self::SchedOp).
            SchedOpCompat = 6 => "__HYPERVISOR_sched_op_compat",
            /// Platform control by the hardware domain.
            PlatformOp = 7 => "__HYPERVISOR_platform_op",
            /// Writes a debug register.
            SetDebugreg = 8 => "__HYPERVISOR_set_debugreg",
            /// Reads a debug register.
            GetDebugreg = 9 => "__HYPERVISOR_get_debugreg",
            /// Writes one segment descriptor.
            UpdateDescriptor = 10 => "__HYPERVISOR_update_descriptor",
            /// Memory reservation and maps.
            MemoryOp = 12 => "__HYPERVISOR_memory_op",
            /// A list of hypercalls in one.
            Multicall = 13 => "__HYPERVISOR_multicall",
            /// One level-1 entry of the current page tables.
            UpdateVaMapping = 14 => "__HYPERVISOR_update_va_mapping",
            /// Old single-shot timer.
            SetTimerOp = 15 => "__HYPERVISOR_set_timer_op",
            /// Old form of [`EventChannelOp`](Self::EventChannelOp).
            EventChannelOpCompat = 16 => "__HYPERVISOR_event_channel_op_compat",
            /// Version, features and identity of the hypervisor.
            Version = 17 => "__HYPERVISOR_xen_version",
            /// The hypervisor's console.
            ConsoleIo = 18 => "__HYPERVISOR_console_io",
            /// Old form of [`PhysdevOp`](Self::PhysdevOp).
            PhysdevOpCompat = 19 => "__HYPERVISOR_physdev_op_compat",
            /// Sharing of frames between domains.
            GrantTableOp = 20 => "__HYPERVISOR_grant_table_op",
            /// Switches optional behaviour on or off.
            VmAssist = 21 => "__HYPERVISOR_vm_assist",
            /// [`UpdateVaMapping`](Self::UpdateVaMapping) with another domain's frame.
            UpdateVaMappingOtherdomain = 22 => "__HYPERVISOR_update_va_mapping_otherdomain",
            /// Return from an exception or event.
            Iret = 23 => "__HYPERVISOR_iret",
            /// vCPU life cycle, timers and registered areas.
            VcpuOp = 24 => "__HYPERVISOR_vcpu_op",
            /// FS and GS bases.
            SetSegmentBase = 25 => "__HYPERVISOR_set_segment_base",
            /// Extended memory management: pin, roots, TLB.
            MmuextOp = 26 => "__HYPERVISOR_mmuext_op",
            /// Security module; not offered.
            XsmOp = 27 => "__HYPERVISOR_xsm_op",
            /// Old NMI registration.
            NmiOp = 28 => "__HYPERVISOR_nmi_op",
            /// Yield, block, shut down, poll.
            SchedOp = 29 => "__HYPERVISOR_sched_op",
            /// Registers entry points.
            CallbackOp = 30 => "__HYPERVISOR_callback_op",
            /// Profiler; not offered.
            ProfilerOp = 31 => "__HYPERVISOR_xenoprof_op",
            /// Event channels.
            EventChannelOp = 32 => "__HYPERVISOR_event_channel_op",
            /// Interrupts, I/O privilege and PCI devices.
            PhysdevOp = 33 => "__HYPERVISOR_physdev_op",
            /// Hardware-assisted guests; not offered.
            HvmOp = 34 => "__HYPERVISOR_hvm_op",
            /// Control of the whole machine.
            Sysctl = 35 => "__HYPERVISOR_sysctl",
            /// Control of one domain.
            Domctl = 36 => "__HYPERVISOR_domctl",
            /// Crash kernels; not offered.
            KexecOp = 37 => "__HYPERVISOR_kexec_op",
            /// Withdrawn.
            TmemOp = 38 => "__HYPERVISOR_tmem_op",
            /// Message passing between domains; not offered.
            ArgoOp = 39 => "__HYPERVISOR_argo_op",
            /// Virtual performance counters.
            PmuOp = 40 => "__HYPERVISOR_xenpmu_op",
            /// Device models of hardware-assisted guests; not offered.
            DmOp = 41 => "__HYPERVISOR_dm_op",
            /// Hypervisor file system; not offered.
            HypfsOp = 42 => "__HYPERVISOR_hypfs_op",
            /// Machine-check telemetry for the hardware domain.
            Mca = 48 => "__HYPERVISOR_mca",
        }
    }

    numbers! {
        /// Bytes of one stub in the hypercall page.
        pub const STUB_SIZE: usize = 32 => (absent "text of the ABI, not a constant of the headers");
        /// Stubs in the hypercall page.
        pub const NR_STUBS: usize = 128 => (absent "text of the ABI, not a constant of the headers");
    }
}
