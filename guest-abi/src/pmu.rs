//! Virtual performance counters.

use crate::ids::{DomId, VcpuId};
use crate::payload::Payload;

abi! {
    headers ["xen/pmu.h"];

    enumeration! {
        /// First argument of the hypercall; the second points to [`PmuParams`].
        pub enum PmuOp: u32 {
            /// Which [`PmuMode`] is on.
            ModeGet = 0 => "XENPMU_mode_get",
            /// Switch a [`PmuMode`] on.
            ModeSet = 1 => "XENPMU_mode_set",
            /// Which [`PmuFeatures`] are on.
            FeatureGet = 2 => "XENPMU_feature_get",
            /// Switch [`PmuFeatures`] on.
            FeatureSet = 3 => "XENPMU_feature_set",
            /// Share a frame with a [`PmuData`].
            Init = 4 => "XENPMU_init",
            /// Undo that.
            Finish = 5 => "XENPMU_finish",
            /// The guest has changed its interrupt entry.
            LvtpcSet = 6 => "XENPMU_lvtpc_set",
            /// The guest has changed its registers.
            Flush = 7 => "XENPMU_flush",
        }
    }

    numbers! {
        /// [`PmuParams::version_major`].
        pub const VERSION_MAJOR: u32 = 0 => "XENPMU_VER_MAJ";
        /// [`PmuParams::version_minor`].
        pub const VERSION_MINOR: u32 = 1 => "XENPMU_VER_MIN";
    }

    flags! {
        /// Who may count what. None set: off.
        pub struct PmuMode: u64 {
            /// Guests may count themselves.
            SELF = 1 << 0 => "XENPMU_MODE_SELF",
            /// The hardware domain may count the hypervisor too.
            HV = 1 << 1 => "XENPMU_MODE_HV",
            /// Only the hardware domain may count, and everything.
            ALL = 1 << 2 => "XENPMU_MODE_ALL",
        }

        /// Optional parts.
        pub struct PmuFeatures: u64 {
            /// Branch traces.
            INTEL_BTS = 1 << 0 => "XENPMU_FEATURE_INTEL_BTS",
            /// Only cycles and instructions.
            IPC_ONLY = 1 << 1 => "XENPMU_FEATURE_IPC_ONLY",
            /// Only the events that the architecture names.
            ARCH_ONLY = 1 << 2 => "XENPMU_FEATURE_ARCH_ONLY",
        }

        /// [`PmuData::pmu_flags`].
        pub struct PmuFlags: u64 {
            /// The registers are in this frame, not in hardware.
            CACHED = 1 << 0 => "PMU_CACHED",
            /// User mode was interrupted.
            SAMPLE_USER = 1 << 1 => "PMU_SAMPLE_USER",
            /// Real mode was interrupted.
            SAMPLE_REAL = 1 << 2 => "PMU_SAMPLE_REAL",
            /// A paravirtualized guest was interrupted.
            SAMPLE_PV = 1 << 3 => "PMU_SAMPLE_PV",
        }
    }

    layout! {
        /// The argument of the hypercall.
        pub struct PmuParams [24] "struct xen_pmu_params" {
            /// Version of the interface, upper part. In and out.
            0 version_major: u32 = "version.maj",
            /// Version of the interface, lower part. In and out.
            4 version_minor: u32 = "version.min",
            /// Mode, features or frame number.
            8 val: u64,
            /// Which vCPU.
            16 vcpu: VcpuId,
            /// Zero.
            20 pad: u32,
        }

        /// What hypervisor and guest share.
        pub struct PmuData [224] "struct xen_pmu_data" {
            /// vCPU that was interrupted.
            0 vcpu_id: VcpuId,
            /// Processor.
            4 pcpu_id: u32,
            /// Domain that was interrupted.
            8 domain_id: DomId,
            /// Zero.
            10 pad: [u8; 6],
            /// A [`PmuRegs`].
            16 regs: Payload<8> = "pmu.r",
            /// Flags.
            80 pmu_flags: PmuFlags = "pmu.pmu_flags",
            /// Interrupt entry in its lower half.
            88 lapic_lvtpc: u64 = "pmu.l",
            /// An [`AmdContext`] or an [`IntelContext`], and its registers.
            96 context: Payload<16> = "pmu.c",
        }

        /// Where the interrupt came.
        pub struct PmuRegs [32] "struct xen_pmu_regs" {
            /// RIP.
            0 ip: u64,
            /// RSP.
            8 sp: u64,
            /// RFLAGS.
            16 flags: u64,
            /// CS.
            24 cs: u16,
            /// SS.
            26 ss: u16,
            /// Privilege level.
            28 cpl: u8,
            /// Zero.
            29 pad: [u8; 3],
        }

        /// Registers of AMD processors; the values follow.
        pub struct AmdContext [8] "struct xen_pmu_amd_ctxt" {
            /// Where the counters are, in bytes from here.
            0 counters: u32,
            /// Where the controls are, in bytes from here.
            4 ctrls: u32,
            /// Nothing; the registers follow here.
            8 regs: [u64; 0] = (absent "an array without a length in C"),
        }

        /// Registers of Intel processors; the values follow.
        pub struct IntelContext [64] "struct xen_pmu_intel_ctxt" {
            /// Where the fixed counters are, in bytes from here.
            0 fixed_counters: u32,
            /// Where the [`CounterPair`]s are, in bytes from here.
            4 arch_counters: u32,
            /// Global control.
            8 global_ctrl: u64,
            /// Global overflow control.
            16 global_ovf_ctrl: u64,
            /// Global status.
            24 global_status: u64,
            /// Control of the fixed counters.
            32 fixed_ctrl: u64,
            /// Debug store.
            40 ds_area: u64,
            /// Precise sampling.
            48 pebs_enable: u64,
            /// Debug control.
            56 debugctl: u64,
        }

        /// A counter and its control.
        pub struct CounterPair [16] "struct xen_pmu_cntr_pair" {
            /// Counter.
            0 counter: u64,
            /// Control.
            8 control: u64,
        }
    }
}
