//! vCPU life cycle, timers, and areas that the hypervisor keeps up to date.
//!
//! Arguments are the operation, a vCPU number and a structure.

use crate::ids::{Mfn, Vaddr};

abi! {
    headers ["xen/vcpu.h"];

    enumeration! {
        /// First argument of the hypercall.
        pub enum VcpuOp: u32 {
            /// [`VcpuGuestContext`](crate::vcpu_context::VcpuGuestContext): state of a vCPU that is down.
            Initialise = 0 => "VCPUOP_initialise",
            /// Start.
            Up = 1 => "VCPUOP_up",
            /// Stop.
            Down = 2 => "VCPUOP_down",
            /// 1 or 0.
            IsUp = 3 => "VCPUOP_is_up",
            /// [`RunstateInfo`](crate::time::RunstateInfo).
            GetRunstateInfo = 4 => "VCPUOP_get_runstate_info",
            /// [`RegisterArea`] for a [`RunstateInfo`](crate::time::RunstateInfo).
            RegisterRunstateMemoryArea = 5 => "VCPUOP_register_runstate_memory_area",
            /// [`SetPeriodicTimer`].
            SetPeriodicTimer = 6 => "VCPUOP_set_periodic_timer",
            /// No argument.
            StopPeriodicTimer = 7 => "VCPUOP_stop_periodic_timer",
            /// [`SetSingleshotTimer`].
            SetSingleshotTimer = 8 => "VCPUOP_set_singleshot_timer",
            /// No argument.
            StopSingleshotTimer = 9 => "VCPUOP_stop_singleshot_timer",
            /// [`RegisterVcpuInfo`].
            RegisterVcpuInfo = 10 => "VCPUOP_register_vcpu_info",
            /// No argument.
            SendNmi = 11 => "VCPUOP_send_nmi",
            /// [`GetPhysid`].
            GetPhysid = 12 => "VCPUOP_get_physid",
            /// [`RegisterArea`] for a [`VcpuTimeInfo`](crate::time::VcpuTimeInfo); address 0 ends it.
            RegisterVcpuTimeMemoryArea = 13 => "VCPUOP_register_vcpu_time_memory_area",
        }
    }

    flags! {
        /// [`SetSingleshotTimer::flags`].
        pub struct TimerFlags: u32 {
            /// The time should lie in the future.
            FUTURE = 1 << 0 => "VCPU_SSHOTTMR_future",
        }
    }

    layout! {
        /// Registers an area by virtual address.
        pub struct RegisterArea [8] "struct vcpu_register_runstate_memory_area" {
            /// Where.
            0 address: Vaddr = "addr.p",
        }

        /// Registers the second clock area. The same as [`RegisterArea`].
        pub struct RegisterTimeArea [8] "struct vcpu_register_time_memory_area" {
            /// Where.
            0 address: Vaddr = "addr.p",
        }

        /// Starts the periodic timer.
        pub struct SetPeriodicTimer [8] "struct vcpu_set_periodic_timer" {
            /// Nanoseconds, at least a million.
            0 period_ns: u64,
        }

        /// Starts the single-shot timer.
        pub struct SetSingleshotTimer [16] "struct vcpu_set_singleshot_timer" {
            /// Absolute system time.
            0 timeout_abs_ns: u64,
            /// Flags.
            8 flags: TimerFlags,
            /// Zero.
            12 pad0: [u8; 4] = _,
        }

        /// Moves a vCPU's [`VcpuInfo`](crate::shared_info::VcpuInfo) into a guest frame.
        pub struct RegisterVcpuInfo [16] "struct vcpu_register_vcpu_info" {
            /// The frame.
            0 mfn: Mfn,
            /// Bytes into it; a multiple of 8.
            8 offset: u32,
            /// Zero.
            12 rsvd: u32,
        }

        /// Asks for the processor of a pinned vCPU.
        pub struct GetPhysid [8] "struct vcpu_get_physid" {
            /// Out: APIC number below, ACPI number above.
            0 phys_id: u64,
        }
    }
}
