//! Control of the machine's power management by tools: statistics, frequencies and idle states.

use crate::ids::Vaddr;
use crate::payload::Payload;

abi! {
    headers ["xen/sysctl.h"];

    enumeration! {
        /// [`PmStat::stat_type`].
        pub enum PmStatType: u32 {
            /// How many performance states there are.
            GetMaxPx = 0x11 => "PMSTAT_get_max_px",
            /// [`PxStat`].
            GetPxStat = 0x12 => "PMSTAT_get_pxstat",
            /// Clear [`PxStat`].
            ResetPxStat = 0x13 => "PMSTAT_reset_pxstat",
            /// How many idle states there are.
            GetMaxCx = 0x21 => "PMSTAT_get_max_cx",
            /// [`CxStat`].
            GetCxStat = 0x22 => "PMSTAT_get_cxstat",
            /// Clear [`CxStat`].
            ResetCxStat = 0x23 => "PMSTAT_reset_cxstat",
        }

        /// [`PmOp::cmd`].
        pub enum PmCommand: u32 {
            /// [`GetCpufreqPara`].
            GetCpufreqPara = 0x11 => "GET_CPUFREQ_PARA",
            /// [`SetCpufreqGov`].
            SetCpufreqGov = 0x12 => "SET_CPUFREQ_GOV",
            /// [`SetCpufreqPara`].
            SetCpufreqPara = 0x13 => "SET_CPUFREQ_PARA",
            /// A `u64`: average frequency since asked last, in kHz.
            GetCpufreqAvgfreq = 0x14 => "GET_CPUFREQ_AVGFREQ",
            /// A `u32`: prefer whole cores. In and out.
            SetSchedOptSmt = 0x21 => "XEN_SYSCTL_pm_op_set_sched_opt_smt",
            /// A `u32`: deepest idle state in use.
            GetMaxCstate = 0x22 => "XEN_SYSCTL_pm_op_get_max_cstate",
            /// A `u32`: deepest idle state to use.
            SetMaxCstate = 0x23 => "XEN_SYSCTL_pm_op_set_max_cstate",
            /// Withdrawn.
            SetVcpuMigrationDelay = 0x24 => "XEN_SYSCTL_pm_op_set_vcpu_migration_delay",
            /// Withdrawn.
            GetVcpuMigrationDelay = 0x25 => "XEN_SYSCTL_pm_op_get_vcpu_migration_delay",
            /// Allow frequencies above the nominal one.
            EnableTurbo = 0x26 => "XEN_SYSCTL_pm_op_enable_turbo",
            /// Forbid them.
            DisableTurbo = 0x27 => "XEN_SYSCTL_pm_op_disable_turbo",
        }

        /// [`SetCpufreqPara::ctrl_type`].
        pub enum CpufreqParameter: u32 {
            /// Highest frequency.
            ScalingMaxFreq = 1 => "SCALING_MAX_FREQ",
            /// Lowest frequency.
            ScalingMinFreq = 2 => "SCALING_MIN_FREQ",
            /// The frequency.
            ScalingSetspeed = 3 => "SCALING_SETSPEED",
            /// How often to look.
            SamplingRate = 4 => "SAMPLING_RATE",
            /// When to go up.
            UpThreshold = 5 => "UP_THRESHOLD",
        }
    }

    numbers! {
        /// [`PmCommand::GetMaxCstate`]: any.
        pub const CX_UNLIMITED: u32 = u32::MAX => "XEN_SYSCTL_CX_UNLIMITED";
        /// Bytes of a governor's name.
        pub const CPUFREQ_NAME_SIZE: usize = 16 => "CPUFREQ_NAME_LEN";
    }

    layout! {
        /// Statistics of a processor.
        pub struct PmStat [64] "struct xen_sysctl_get_pmstat" {
            /// A [`PmStatType`].
            0 stat_type: u32 = "type",
            /// Which.
            4 cpuid: u32,
            /// A [`PxStat`] or a [`CxStat`].
            8 u: Payload<7>,
        }

        /// One performance state.
        pub struct PxValue [24] "struct pm_px_val" {
            /// MHz.
            0 freq: u64,
            /// Nanoseconds.
            8 residency: u64,
            /// How often it was entered.
            16 count: u64,
        }

        /// Performance states.
        pub struct PxStat [24] "struct pm_px_stat" {
            /// How many.
            0 total: u8,
            /// How many may be used.
            1 usable: u8,
            /// The one before.
            2 last: u8,
            /// The one now.
            3 cur: u8,
            /// Zero.
            4 pad0: [u8; 4] = _,
            /// Table of changes, 8 bytes each, from every state to every state.
            8 trans_pt: Vaddr,
            /// [`PxValue`] list.
            16 pt: Vaddr,
        }

        /// Idle states.
        pub struct CxStat [56] "struct pm_cx_stat" {
            /// How many.
            0 nr: u32,
            /// The one before.
            4 last: u32,
            /// Nanoseconds since boot.
            8 idle_time: u64,
            /// How often each was entered, 8 bytes each.
            16 triggers: Vaddr,
            /// Nanoseconds of each, 8 bytes each.
            24 residencies: Vaddr,
            /// In: room. Out: how many states of the package.
            32 nr_pc: u32,
            /// In: room. Out: how many states of the core.
            36 nr_cc: u32,
            /// Nanoseconds of each state of the package, 8 bytes each.
            40 pc: Vaddr,
            /// Nanoseconds of each state of the core, 8 bytes each.
            48 cc: Vaddr,
        }

        /// Controls a processor.
        pub struct PmOp [128] "struct xen_sysctl_pm_op" {
            /// A [`PmCommand`].
            0 cmd: u32,
            /// Which.
            4 cpuid: u32,
            /// What the command needs.
            8 u: Payload<15>,
        }

        /// How a processor's frequency is chosen.
        pub struct GetCpufreqPara [120] "struct xen_get_cpufreq_para" {
            /// In: room. Out: processors that change together.
            0 cpu_num: u32,
            /// In: room. Out: frequencies.
            4 freq_num: u32,
            /// In: room. Out: governors.
            8 gov_num: u32,
            /// Zero.
            12 pad0: [u8; 4] = _,
            /// Processors, 4 bytes each.
            16 affected_cpus: Vaddr,
            /// kHz, 4 bytes each.
            24 scaling_available_frequencies: Vaddr,
            /// Names of [`CPUFREQ_NAME_SIZE`].
            32 scaling_available_governors: Vaddr,
            /// Name of the driver.
            40 scaling_driver: [u8; CPUFREQ_NAME_SIZE],
            /// kHz.
            56 cpuinfo_cur_freq: u32,
            /// kHz.
            60 cpuinfo_max_freq: u32,
            /// kHz.
            64 cpuinfo_min_freq: u32,
            /// kHz.
            68 scaling_cur_freq: u32,
            /// Name of the governor.
            72 scaling_governor: [u8; CPUFREQ_NAME_SIZE],
            /// kHz.
            88 scaling_max_freq: u32,
            /// kHz.
            92 scaling_min_freq: u32,
            /// For a frequency by command: kHz. For one on demand: highest, lowest and present rate of
            /// looking, and the threshold.
            96 governor_parameters: [u32; 4] = "u",
            /// 1: frequencies above the nominal one are allowed.
            112 turbo_enabled: i32,
            /// Zero.
            116 pad1: [u8; 4] = _,
        }

        /// Chooses a governor.
        pub struct SetCpufreqGov [16] "struct xen_set_cpufreq_gov" {
            /// Name.
            0 scaling_governor: [u8; CPUFREQ_NAME_SIZE],
        }

        /// Sets one parameter.
        pub struct SetCpufreqPara [8] "struct xen_set_cpufreq_para" {
            /// A [`CpufreqParameter`].
            0 ctrl_type: u32,
            /// Its value.
            4 ctrl_value: u32,
        }
    }
}
