//! Optional behaviour that a guest switches on. Arguments are the command and the assist.

abi! {
    headers ["xen/xen.h"];

    enumeration! {
        /// First argument of the hypercall.
        pub enum VmAssistCommand: u32 {
            /// Switch on.
            Enable = 0 => "VMASST_CMD_enable",
            /// Switch off.
            Disable = 1 => "VMASST_CMD_disable",
        }

        /// Second argument of the hypercall; also a bit number in a context.
        pub enum VmAssist: u32 {
            /// For 32-bit guests.
            FourGbSegments = 0 => "VMASST_TYPE_4gb_segments",
            /// For 32-bit guests.
            FourGbSegmentsNotify = 1 => "VMASST_TYPE_4gb_segments_notify",
            /// Stores into level-1 tables are emulated.
            WritablePagetables = 2 => "VMASST_TYPE_writable_pagetables",
            /// For 32-bit guests.
            PaeExtendedCr3 = 3 => "VMASST_TYPE_pae_extended_cr3",
            /// The guest sees its virtual I/O privilege level in its flags.
            ArchitecturalIopl = 4 => "VMASST_TYPE_architectural_iopl",
            /// Updates of run states are marked, see
            /// [`RUNSTATE_UPDATE`](crate::time::RUNSTATE_UPDATE).
            RunstateUpdateFlag = 5 => "VMASST_TYPE_runstate_update_flag",
            /// The machine-to-physical table is not mapped in user mode.
            M2pStrict = 32 => "VMASST_TYPE_m2p_strict",
        }
    }
}
