//! Exceptions: the virtual descriptor table, and the way back.

use crate::ids::Vaddr;

abi! {
    headers ["xen/xen.h"];

    flags! {
        /// [`TrapInfo::flags`] above the privilege level, and what [`IretFrame::flags`] knows.
        pub struct TrapFlags: u8 {
            /// Lowest bits: privilege level from which `INT n` may be used.
            DPL_MASK = 3 => (absent "only a macro with an argument"),
            /// Events are masked when the handler starts.
            MASK_EVENTS = 1 << 2 => (absent "only a macro with an argument"),
        }

        /// [`IretFrame::flags`].
        pub struct IretFlags: u64 {
            /// Return from a system call: RCX and R11 need not be restored.
            IN_SYSCALL = 1 << 8 => "VGCF_in_syscall",
        }
    }

    numbers! {
        /// Vectors.
        pub const NR_VECTORS: usize = 256 => (absent "a property of the processor");
        /// Where in [`BounceFrame::cs`] the event mask before is, 8 bits wide.
        pub const SAVED_UPCALL_MASK_SHIFT: u32 = 32 => "8 * (offsetof(struct cpu_user_regs, saved_upcall_mask) - offsetof(struct cpu_user_regs, cs))";
    }

    layout! {
        /// One entry of the virtual descriptor table. A list of them ends at address 0.
        pub struct TrapInfo [16] "struct trap_info" {
            /// Vector.
            0 vector: u8,
            /// Privilege level and flags.
            1 flags: TrapFlags,
            /// Code selector.
            2 cs: u16,
            /// Zero.
            4 pad0: [u8; 4] = _,
            /// Handler; 0 for none.
            8 address: Vaddr,
        }

        /// What `iret` pops from the guest's stack.
        pub struct IretFrame [72] "struct iret_context" {
            /// RAX.
            0 rax: u64,
            /// R11.
            8 r11: u64,
            /// RCX.
            16 rcx: u64,
            /// Flags.
            24 flags: IretFlags,
            /// Where to go on.
            32 rip: u64,
            /// Code selector; its lowest bits say kernel (0) or user (3).
            40 cs: u64,
            /// Processor flags; the interrupt flag becomes the event mask.
            48 rflags: u64,
            /// Stack.
            56 rsp: u64,
            /// Stack selector.
            64 ss: u64,
        }

        /// What a handler finds on its stack, lowest address first, when there is no error code.
        pub struct BounceFrame [56] (absent "text of the ABI") {
            /// RCX before.
            0 rcx: u64,
            /// R11 before.
            8 r11: u64,
            /// Where to go on.
            16 rip: u64,
            /// Code selector; its lowest bits are 0 if the guest kernel was interrupted, 3 otherwise. The
            /// event mask before is at [`SAVED_UPCALL_MASK_SHIFT`].
            24 cs: u64,
            /// Processor flags; the interrupt flag is the opposite of the event mask.
            32 rflags: u64,
            /// Stack before.
            40 rsp: u64,
            /// Stack selector before.
            48 ss: u64,
        }

        /// The same with an error code.
        pub struct BounceFrameWithCode [64] (absent "text of the ABI") {
            /// RCX before.
            0 rcx: u64,
            /// R11 before.
            8 r11: u64,
            /// Error code.
            16 error_code: u64,
            /// Where to go on.
            24 rip: u64,
            /// As in [`BounceFrame::cs`].
            32 cs: u64,
            /// Processor flags; the interrupt flag is the opposite of the event mask.
            40 rflags: u64,
            /// Stack before.
            48 rsp: u64,
            /// Stack selector before.
            56 ss: u64,
        }
    }
}
