//! The complete state of a vCPU, as tools and starting kernels write it.

use crate::ids::Vaddr;
use crate::trap::{NR_VECTORS, TrapInfo};

abi! {
    headers ["xen/xen.h"];

    flags! {
        /// [`VcpuGuestContext::flags`].
        pub struct ContextFlags: u64 {
            /// `fpu_ctxt` has a meaning.
            I387_VALID = 1 << 0 => "VGCF_I387_VALID",
            /// Guest-kernel mode.
            IN_KERNEL = 1 << 2 => "VGCF_IN_KERNEL",
            /// The failsafe callback masks events.
            FAILSAFE_DISABLES_EVENTS = 1 << 3 => "VGCF_failsafe_disables_events",
            /// The system-call callback masks events.
            SYSCALL_DISABLES_EVENTS = 1 << 4 => "VGCF_syscall_disables_events",
            /// The vCPU is up.
            ONLINE = 1 << 5 => "VGCF_online",
        }
    }

    numbers! {
        /// Bytes of the floating-point state.
        pub const FXSAVE_SIZE: usize = 512 => "sizeof(((struct vcpu_guest_context *)0)->fpu_ctxt)";
        /// Frames of the global descriptor table in a context.
        pub const NR_GDT_FRAMES: usize = 16 => "sizeof(((struct vcpu_guest_context *)0)->gdt_frames) / 8";
    }

    layout! {
        /// General registers, in the order in which an entry pushes them.
        pub struct CpuUserRegs [200] "struct cpu_user_regs" {
            /// R15.
            0 r15: u64,
            /// R14.
            8 r14: u64,
            /// R13.
            16 r13: u64,
            /// R12.
            24 r12: u64,
            /// RBP.
            32 rbp: u64,
            /// RBX.
            40 rbx: u64,
            /// R11.
            48 r11: u64,
            /// R10.
            56 r10: u64,
            /// R9.
            64 r9: u64,
            /// R8.
            72 r8: u64,
            /// RAX.
            80 rax: u64,
            /// RCX.
            88 rcx: u64,
            /// RDX.
            96 rdx: u64,
            /// RSI.
            104 rsi: u64,
            /// RDI.
            112 rdi: u64,
            /// Error code of the entry. Private to the hypervisor.
            120 error_code: u32,
            /// Vector of the entry. Private to the hypervisor.
            124 entry_vector: u32,
            /// RIP.
            128 rip: u64,
            /// CS.
            136 cs: u16,
            /// Zero.
            138 pad0: u16 = "_pad0",
            /// Event mask before the entry.
            140 saved_upcall_mask: u8,
            /// Zero.
            141 pad1: [u8; 3] = "_pad1",
            /// RFLAGS.
            144 rflags: u64,
            /// RSP.
            152 rsp: u64,
            /// SS.
            160 ss: u16,
            /// Zero.
            162 pad2: [u16; 3] = "_pad2",
            /// ES.
            168 es: u16,
            /// Zero.
            170 pad3: [u16; 3] = "_pad3",
            /// DS.
            176 ds: u16,
            /// Zero.
            178 pad4: [u16; 3] = "_pad4",
            /// FS.
            184 fs: u16,
            /// Zero.
            186 pad5: [u16; 3] = "_pad5",
            /// GS.
            192 gs: u16,
            /// Zero.
            194 pad6: [u16; 3] = "_pad6",
        }

        /// Everything about a vCPU.
        pub struct VcpuGuestContext [5168] "struct vcpu_guest_context" {
            /// Floating-point state in the processor's format.
            0 fpu_ctxt: [u8; FXSAVE_SIZE],
            /// Flags.
            512 flags: ContextFlags,
            /// General registers.
            520 user_regs: CpuUserRegs,
            /// Virtual descriptor table.
            720 trap_ctxt: [TrapInfo; NR_VECTORS],
            /// Local descriptor table.
            4816 ldt_base: Vaddr,
            /// Its entries.
            4824 ldt_ents: u64,
            /// Frames of the global descriptor table.
            4832 gdt_frames: [u64; NR_GDT_FRAMES],
            /// Its entries.
            4960 gdt_ents: u64,
            /// Stack selector for entries from guest user mode.
            4968 kernel_ss: u64,
            /// Stack for entries from guest user mode.
            4976 kernel_sp: Vaddr,
            /// Control registers. 0: only the task-switched bit; 1: user root; 3: kernel root, each the
            /// frame number shifted by 12; 4.
            4984 ctrlreg: [u64; 8],
            /// Debug registers.
            5048 debugreg: [u64; 8],
            /// Event callback.
            5112 event_callback_eip: Vaddr,
            /// Failsafe callback.
            5120 failsafe_callback_eip: Vaddr,
            /// System-call callback.
            5128 syscall_callback_eip: Vaddr,
            /// Bit for each [`VmAssist`](crate::vm_assist::VmAssist) that is on.
            5136 vm_assist: u64,
            /// FS base.
            5144 fs_base: u64,
            /// GS base of guest-kernel mode.
            5152 gs_base_kernel: u64,
            /// GS base of guest-user mode.
            5160 gs_base_user: u64,
        }
    }
}
