//! Entry points of the guest kernel other than exception handlers. Each vCPU has its own.

use crate::ids::Vaddr;

abi! {
    headers ["xen/callback.h"];

    enumeration! {
        /// First argument of the hypercall.
        pub enum CallbackOp: u32 {
            /// [`CallbackRegister`].
            Register = 0 => "CALLBACKOP_register",
            /// [`CallbackUnregister`].
            Unregister = 1 => "CALLBACKOP_unregister",
        }

        /// Which entry point.
        pub enum CallbackType: u16 {
            /// Events.
            Event = 0 => "CALLBACKTYPE_event",
            /// The guest's segments could not be loaded.
            Failsafe = 1 => "CALLBACKTYPE_failsafe",
            /// SYSCALL in 64-bit user mode.
            Syscall = 2 => "CALLBACKTYPE_syscall",
            /// Old number of [`Sysenter`](Self::Sysenter).
            SysenterDeprecated = 3 => "CALLBACKTYPE_sysenter_deprecated",
            /// Non-maskable interrupt.
            Nmi = 4 => "CALLBACKTYPE_nmi",
            /// SYSENTER.
            Sysenter = 5 => "CALLBACKTYPE_sysenter",
            /// SYSCALL in 32-bit user mode.
            Syscall32 = 7 => "CALLBACKTYPE_syscall32",
        }
    }

    flags! {
        /// [`CallbackRegister::flags`].
        pub struct CallbackFlags: u16 {
            /// Events are masked when the entry point starts.
            MASK_EVENTS = 1 << 0 => "CALLBACKF_mask_events",
        }
    }

    layout! {
        /// Sets an entry point.
        pub struct CallbackRegister [16] "struct callback_register" {
            /// A [`CallbackType`].
            0 callback_type: u16 = "type",
            /// Flags.
            2 flags: CallbackFlags,
            /// Zero.
            4 pad0: [u8; 4] = _,
            /// The entry point.
            8 address: Vaddr,
        }

        /// Removes an entry point.
        pub struct CallbackUnregister [4] "struct callback_unregister" {
            /// A [`CallbackType`].
            0 callback_type: u16 = "type",
            /// Ignored.
            2 unused: u16 = "_unused",
        }
    }
}
