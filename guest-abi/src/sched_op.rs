//! What a vCPU asks of the scheduler, and how a domain ends.

use crate::ids::{DomId, Vaddr};

abi! {
    headers ["xen/sched.h"];

    enumeration! {
        /// First argument of the hypercall.
        pub enum SchedOp: u32 {
            /// Let others run.
            Yield = 0 => "SCHEDOP_yield",
            /// Unmask events and sleep until there is one, in one step.
            Block = 1 => "SCHEDOP_block",
            /// [`Shutdown`].
            Shutdown = 2 => "SCHEDOP_shutdown",
            /// [`Poll`].
            Poll = 3 => "SCHEDOP_poll",
            /// [`RemoteShutdown`].
            RemoteShutdown = 4 => "SCHEDOP_remote_shutdown",
            /// [`Shutdown`]: keep the reason for later.
            ShutdownCode = 5 => "SCHEDOP_shutdown_code",
            /// [`Watchdog`].
            Watchdog = 6 => "SCHEDOP_watchdog",
            /// [`PinOverride`].
            PinOverride = 7 => "SCHEDOP_pin_override",
        }

        /// Why a domain shuts down.
        pub enum ShutdownReason: u32 {
            /// Clean end.
            Poweroff = 0 => "SHUTDOWN_poweroff",
            /// Start again.
            Reboot = 1 => "SHUTDOWN_reboot",
            /// To be saved.
            Suspend = 2 => "SHUTDOWN_suspend",
            /// Failure.
            Crash = 3 => "SHUTDOWN_crash",
            /// Watchdog expired.
            Watchdog = 4 => "SHUTDOWN_watchdog",
            /// Start over in the same domain.
            SoftReset = 5 => "SHUTDOWN_soft_reset",
        }
    }

    numbers! {
        /// Most ports of a [`Poll`].
        pub const MAX_POLL_PORTS: u32 = 128 => (absent "a limit of the hypervisor");
    }

    layout! {
        /// Ends the domain.
        pub struct Shutdown [4] "struct sched_shutdown" {
            /// A [`ShutdownReason`].
            0 reason: u32,
        }

        /// Sleeps until one of some ports is pending, masked or not.
        pub struct Poll [24] "struct sched_poll" {
            /// List of ports, 4 bytes each.
            0 ports: Vaddr,
            /// Its length.
            8 nr_ports: u32,
            /// Zero.
            12 pad0: [u8; 4] = _,
            /// Absolute system time in nanoseconds; 0 for none.
            16 timeout: u64,
        }

        /// Ends another domain.
        pub struct RemoteShutdown [8] "struct sched_remote_shutdown" {
            /// Which.
            0 domain_id: DomId,
            /// Zero.
            2 pad0: [u8; 2] = _,
            /// A [`ShutdownReason`].
            4 reason: u32,
        }

        /// Sets or pokes a watchdog timer.
        pub struct Watchdog [8] "struct sched_watchdog" {
            /// Which; 0 for a new one.
            0 id: u32,
            /// Seconds; 0 to disarm.
            4 timeout: u32,
        }

        /// Pins the calling vCPU to a processor for a while.
        pub struct PinOverride [4] "struct sched_pin_override" {
            /// Which; negative to undo.
            0 pcpu: i32,
        }
    }
}
