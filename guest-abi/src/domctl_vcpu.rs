//! Control of a domain's vCPUs by tools: state, placement, scheduling and what CPUID shows.

use crate::bitmap::Bitmap;
use crate::ids::Vaddr;
use crate::payload::Payload;

abi! {
    headers ["xen/domctl.h"];

    enumeration! {
        /// A scheduler.
        pub enum Scheduler: u32 {
            /// Credit.
            Credit = 5 => "XEN_SCHEDULER_CREDIT",
            /// Credit, second version.
            Credit2 = 6 => "XEN_SCHEDULER_CREDIT2",
            /// Fixed schedule.
            Arinc653 = 7 => "XEN_SCHEDULER_ARINC653",
            /// Real time.
            Rtds = 8 => "XEN_SCHEDULER_RTDS",
            /// A processor for each vCPU.
            Null = 9 => "XEN_SCHEDULER_NULL",
        }

        /// [`SchedulerOp::cmd`].
        pub enum SchedulerCommand: u32 {
            /// Set the domain's parameters.
            PutInfo = 0 => "XEN_DOMCTL_SCHEDOP_putinfo",
            /// Read the domain's parameters.
            GetInfo = 1 => "XEN_DOMCTL_SCHEDOP_getinfo",
            /// Set parameters of vCPUs: [`SchedulerVcpus`].
            PutVcpuInfo = 2 => "XEN_DOMCTL_SCHEDOP_putvcpuinfo",
            /// Read parameters of vCPUs: [`SchedulerVcpus`].
            GetVcpuInfo = 3 => "XEN_DOMCTL_SCHEDOP_getvcpuinfo",
        }
    }

    flags! {
        /// [`VcpuAffinity::flags`].
        pub struct AffinityFlags: u32 {
            /// Where the vCPU may run.
            HARD = 1 << 0 => "XEN_VCPUAFFINITY_HARD",
            /// Where the vCPU should run.
            SOFT = 1 << 1 => "XEN_VCPUAFFINITY_SOFT",
            /// Undo a temporary placement.
            FORCE = 1 << 2 => "XEN_VCPUAFFINITY_FORCE",
        }

        /// [`SchedulerRtds::flags`].
        pub struct RtdsFlags: u32 {
            /// May use idle time beyond its budget.
            EXTRA = 1 << 0 => "XEN_DOMCTL_SCHEDRT_extra",
        }
    }

    numbers! {
        /// Weight of a new domain under the credit scheduler.
        pub const DEFAULT_WEIGHT: u16 = 256 => (absent "default of the scheduler");
        /// What [`CpuPolicy`] reports when nothing is wrong.
        pub const NO_ERROR: u32 = u32::MAX => "XEN_CPUID_INPUT_UNUSED";
    }

    layout! {
        /// Reads or writes a vCPU's context. Writing address 0 resets the vCPU.
        pub struct VcpuContext [16] "struct xen_domctl_vcpucontext" {
            /// Which.
            0 vcpu: u32,
            /// Zero.
            4 pad0: [u8; 4] = _,
            /// A [`VcpuGuestContext`](crate::vcpu_context::VcpuGuestContext).
            8 ctxt: Vaddr,
        }

        /// Describes a vCPU.
        pub struct VcpuState [24] "struct xen_domctl_getvcpuinfo" {
            /// Which.
            0 vcpu: u32,
            /// 1: up.
            4 online: u8,
            /// 1: waits.
            5 blocked: u8,
            /// 1: runs.
            6 running: u8,
            /// Zero.
            7 pad0: u8 = _,
            /// Nanoseconds.
            8 cpu_time: u64,
            /// Processor.
            16 cpu: u32,
            /// Zero.
            20 pad1: [u8; 4] = _,
        }

        /// Makes a domain's vCPUs.
        pub struct MaxVcpus [4] "struct xen_domctl_max_vcpus" {
            /// As many as the domain was created for.
            0 max: u32,
        }

        /// Where a vCPU runs. The maps are overwritten by what is in effect.
        pub struct VcpuAffinity [40] "struct xen_domctl_vcpuaffinity" {
            /// Which.
            0 vcpu: u32,
            /// Which of the maps.
            4 flags: AffinityFlags,
            /// Where it may run.
            8 cpumap_hard: Bitmap,
            /// Where it should run.
            24 cpumap_soft: Bitmap,
        }

        /// Scheduling parameters of a domain.
        pub struct SchedulerOp [24] "struct xen_domctl_scheduler_op" {
            /// The [`Scheduler`] of the domain.
            0 sched_id: u32,
            /// A [`SchedulerCommand`].
            4 cmd: u32,
            /// What the scheduler and the command need.
            8 u: Payload<2>,
        }

        /// Parameters of the credit scheduler.
        pub struct SchedulerCredit [4] "struct xen_domctl_sched_credit" {
            /// Share relative to others, 1 to 65535; 0 leaves it.
            0 weight: u16,
            /// Percent of one processor, 0 for no limit; 65535 leaves it.
            2 cap: u16,
        }

        /// Parameters of the credit scheduler, second version.
        pub struct SchedulerCredit2 [4] "struct xen_domctl_sched_credit2" {
            /// Share relative to others.
            0 weight: u16,
            /// Percent of one processor, 0 for no limit.
            2 cap: u16,
        }

        /// Parameters of the real-time scheduler.
        pub struct SchedulerRtds [12] "struct xen_domctl_sched_rtds" {
            /// Microseconds.
            0 period: u32,
            /// Microseconds.
            4 budget: u32,
            /// Flags.
            8 flags: RtdsFlags,
        }

        /// A list of vCPUs' parameters.
        pub struct SchedulerVcpus [16] "__typeof__(((struct xen_domctl_scheduler_op *)0)->u.v)" {
            /// [`SchedulerVcpu`] list.
            0 vcpus: Vaddr,
            /// In: its length. Out: how many are done.
            8 nr_vcpus: u32,
            /// Zero.
            12 padding: u32,
        }

        /// One vCPU's parameters.
        pub struct SchedulerVcpu [16] "struct xen_domctl_schedparam_vcpu" {
            /// A structure of this vCPU's scheduler.
            0 params: [u32; 3] = "u",
            /// Which.
            12 vcpuid: u32,
        }

        /// What a [`VcpuContext`] has no room for.
        pub struct ExtVcpuContext [64] "struct xen_domctl_ext_vcpucontext" {
            /// Which.
            0 vcpu: u32,
            /// In, when writing: bytes that are meant. Out, when reading: bytes that are there.
            4 size: u32,
            /// System-call entry point for 32-bit user mode.
            8 syscall32_callback_eip: Vaddr,
            /// SYSENTER entry point.
            16 sysenter_callback_eip: Vaddr,
            /// Code selector of the first.
            24 syscall32_callback_cs: u16,
            /// Code selector of the second.
            26 sysenter_callback_cs: u16,
            /// Whether the first masks events.
            28 syscall32_disables_events: u8,
            /// Whether the second masks events.
            29 sysenter_disables_events: u8,
            /// Zero.
            30 pad0: [u8; 2] = (absent "C has no word on padding before a union without a name"),
            /// Machine-check registers.
            32 vmce: MachineCheckState,
        }

        /// Machine-check registers of a vCPU.
        pub struct MachineCheckState [32] "struct hvm_vmce_vcpu" {
            /// Capabilities.
            0 caps: u64,
            /// Second control register of bank 0.
            8 mci_ctl2_bank0: u64,
            /// Second control register of bank 1.
            16 mci_ctl2_bank1: u64,
            /// Extended control.
            24 mcg_ext_ctl: u64,
        }

        /// Reads or writes a vCPU's extended processor state.
        pub struct VcpuExtendedState [32] "struct xen_domctl_vcpuextstate" {
            /// Which.
            0 vcpu: u32,
            /// Zero.
            4 pad0: [u8; 4] = _,
            /// Out: XCR0 bits that the state may have.
            8 xfeature_mask: u64,
            /// Bytes of the state; 0 when there is none.
            16 size: u64,
            /// An [`ExtendedStateHeader`] and the state; 0 to ask for the size.
            24 buffer: Vaddr,
        }

        /// How a vCPU's extended processor state begins. What XSAVE stores follows.
        pub struct ExtendedStateHeader [16] (absent "the headers leave the buffer opaque") {
            /// XCR0.
            0 xcr0: u64,
            /// All bits that XCR0 ever had.
            8 xcr0_accum: u64,
        }

        /// Reads or writes a vCPU's MSRs.
        pub struct VcpuMsrs [16] "struct xen_domctl_vcpu_msrs" {
            /// Which.
            0 vcpu: u32,
            /// In: length of the list. Out: how many there are.
            4 msr_count: u32,
            /// [`VcpuMsr`] list; 0 to ask for their number.
            8 msrs: Vaddr,
        }

        /// One of a vCPU's MSRs.
        pub struct VcpuMsr [16] "struct xen_domctl_vcpu_msr" {
            /// Which.
            0 index: u32,
            /// Zero.
            4 reserved: u32,
            /// Content.
            8 value: u64,
        }

        /// How a domain sees the time stamp counter.
        pub struct TscInfo [24] "struct xen_domctl_tsc_info" {
            /// A [`TscMode`](crate::hypervisor_cpuid::TscMode).
            0 tsc_mode: u32,
            /// Its frequency.
            4 gtsc_khz: u32,
            /// How often the domain was restored.
            8 incarnation: u32,
            /// Zero.
            12 pad: u32,
            /// Nanoseconds that the counter stands for.
            16 elapsed_nsec: u64,
        }

        /// Reads or writes what CPUID and MSRs show to a domain.
        pub struct CpuPolicy [40] "struct xen_domctl_cpu_policy" {
            /// In: length of the list. Out: how many there are.
            0 nr_leaves: u32,
            /// In: length of the list. Out: how many there are.
            4 nr_msrs: u32,
            /// [`CpuidLeaf`](crate::cpu_policy::CpuidLeaf) list.
            8 leaves: Vaddr,
            /// [`MsrEntry`](crate::cpu_policy::MsrEntry) list.
            16 msrs: Vaddr,
            /// Out: leaf that is wrong, or [`NO_ERROR`].
            24 err_leaf: u32,
            /// Out: sub-leaf that is wrong, or [`NO_ERROR`].
            28 err_subleaf: u32,
            /// Out: MSR that is wrong, or [`NO_ERROR`].
            32 err_msr: u32,
            /// Zero.
            36 pad0: [u8; 4] = _,
        }
    }
}
