//! Clocks and run states that the hypervisor writes into guest memory.
//!
//! System time counts nanoseconds since the hypervisor started. A reader computes it as
//! `system_time + ((tsc - tsc_timestamp) shifted by tsc_shift) * tsc_to_system_mul / 2^32`.

abi! {
    headers ["xen/vcpu.h"];

    flags! {
        /// [`VcpuTimeInfo::flags`].
        pub struct ClockFlags: u8 {
            /// Time stamp counters agree on all processors and never change their rate.
            TSC_STABLE = 1 << 0 => "XEN_PVCLOCK_TSC_STABLE_BIT",
            /// The guest was stopped; its watchdogs should not bark.
            GUEST_STOPPED = 1 << 1 => "XEN_PVCLOCK_GUEST_STOPPED",
        }
    }

    enumeration! {
        /// What a vCPU is doing.
        pub enum RunState: u32 {
            /// Runs.
            Running = 0 => "RUNSTATE_running",
            /// Could run.
            Runnable = 1 => "RUNSTATE_runnable",
            /// Waits for an event.
            Blocked = 2 => "RUNSTATE_blocked",
            /// Down or paused.
            Offline = 3 => "RUNSTATE_offline",
        }
    }

    numbers! {
        /// Number of run states.
        pub const NR_RUN_STATES: usize = 4 => "RUNSTATE_offline + 1";
        /// Set in [`RunstateInfo::state_entry_time`] while the hypervisor writes, if the guest asked.
        pub const RUNSTATE_UPDATE: u64 = 1 << 63 => "XEN_RUNSTATE_UPDATE";
    }

    layout! {
        /// How a vCPU turns its time stamp counter into system time.
        pub struct VcpuTimeInfo [32] "struct vcpu_time_info" {
            /// Odd while the hypervisor writes.
            0 version: u32,
            /// Zero.
            4 pad0: u32,
            /// Time stamp counter at `system_time`.
            8 tsc_timestamp: u64,
            /// Nanoseconds.
            16 system_time: u64,
            /// Nanoseconds for each (shifted) tick, times 2^32.
            24 tsc_to_system_mul: u32,
            /// Shift to the left, or to the right when negative.
            28 tsc_shift: i8,
            /// Flags.
            29 flags: ClockFlags,
            /// Zero.
            30 pad1: [u8; 2],
        }

        /// What a vCPU is doing and how long it did what.
        pub struct RunstateInfo [48] "struct vcpu_runstate_info" {
            /// A [`RunState`].
            0 state: u32,
            /// Zero.
            4 pad0: [u8; 4] = _,
            /// System time when it began.
            8 state_entry_time: u64,
            /// Nanoseconds in each [`RunState`].
            16 time: [u64; NR_RUN_STATES],
        }
    }
}
