//! Exceptions, and everything else by which the hypervisor enters this kernel.
//!
//! Every way in ends in one place with the same frame. There a case's own handler is asked first; an
//! entry from user mode ends that stay ([`crate::user::enter`]); an exception under [`probe!`] is recorded
//! and skipped; anything else fails the case.

use crate::hypercall::{Outcome, hypercall};
use crate::{cpu, event};
use core::arch::{asm, global_asm};
use core::fmt;
use core::sync::atomic::{AtomicPtr, Ordering};
use guest_abi::callback_op::{CallbackFlags, CallbackOp, CallbackRegister, CallbackType};
use guest_abi::ids::Vaddr;
use guest_abi::segment::FLAT_RING3_CS64;
use guest_abi::trap::{NR_VECTORS, TrapFlags, TrapInfo};
use zerocopy::FromZeros;

/// Pseudo vectors for the ways in that have no vector.
pub(crate) const EVENT: u64 = 256;
pub(crate) const FAILSAFE: u64 = 257;
pub(crate) const SYSCALL: u64 = 258;
pub(crate) const SYSENTER: u64 = 259;
pub(crate) const SYSCALL32: u64 = 260;
const NR_ENTRIES: usize = 261;

/// Bits of RFLAGS.
pub(crate) mod rflags {
    pub(crate) const CF: u64 = 1 << 0;
    pub(crate) const ALWAYS: u64 = 1 << 1;
    pub(crate) const TF: u64 = 1 << 8;
    pub(crate) const IF: u64 = 1 << 9;
    pub(crate) const DF: u64 = 1 << 10;
    pub(crate) const IOPL: u64 = 3 << 12;
    pub(crate) const NT: u64 = 1 << 14;
    pub(crate) const RF: u64 = 1 << 16;
    pub(crate) const AC: u64 = 1 << 18;
}

/// Registers as an entry leaves them and a return takes them.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) r15: u64,
    pub(crate) r14: u64,
    pub(crate) r13: u64,
    pub(crate) r12: u64,
    pub(crate) rbp: u64,
    pub(crate) rbx: u64,
    pub(crate) r10: u64,
    pub(crate) r9: u64,
    pub(crate) r8: u64,
    pub(crate) rdx: u64,
    pub(crate) rsi: u64,
    pub(crate) rdi: u64,
    pub(crate) rax: u64,
    /// As the hypervisor has pushed it, above RCX.
    pub(crate) r11: u64,
    /// As the hypervisor has pushed it, on top.
    pub(crate) rcx: u64,
    pub(crate) vector: u64,
    /// As pushed; 0 where the entry has none.
    pub(crate) error_code: u64,
    pub(crate) rip: u64,
    pub(crate) cs: u64,
    pub(crate) rflags: u64,
    pub(crate) rsp: u64,
    pub(crate) ss: u64,
}

impl Frame {
    /// Whether guest user mode was interrupted.
    pub(crate) fn is_user(&self) -> bool {
        self.cs & 3 == 3
    }

    /// Whether code of this kernel was interrupted, not whatever else can be executed in kernel mode.
    pub(crate) fn is_in_kernel_code(&self) -> bool {
        let code = &raw const kernel_code_start as u64..&raw const kernel_code_end as u64;
        !self.is_user() && code.contains(&self.rip)
    }
}

/// An entry into this kernel: what was interrupted, and what the entry itself looked like.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trap {
    /// What was interrupted.
    pub(crate) frame: Frame,
    /// RSP when the first instruction of the handler ran.
    pub(crate) handler_rsp: u64,
    /// RFLAGS when the handler ran.
    pub(crate) handler_rflags: u64,
    /// CS and SS when the handler ran.
    pub(crate) handler_cs: u64,
    pub(crate) handler_ss: u64,
    /// The fault address that the vCPU's shared area held.
    pub(crate) cr2: u64,
    /// The event mask when the handler ran.
    pub(crate) upcall_mask: u8,
    /// Bytes from the first instruction of the [`probe!`] to what was interrupted.
    pub(crate) offset: u64,
}

impl fmt::Debug for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let frame = &self.frame;
        write!(
            f,
            "vector {} error code {:#x} at {:#x} (probe + {:#x}), CR2 {:#x}",
            frame.vector, frame.error_code, frame.rip, self.offset, self.cr2
        )
    }
}

/// The trap of a [`probe!`], which must have been of this vector and error code.
#[track_caller]
pub(crate) fn expect(trap: Option<Trap>, vector: u64, error_code: u64) -> Trap {
    let Some(trap) = trap else {
        panic!("no exception instead of vector {vector}");
    };
    let found = (trap.frame.vector, trap.frame.error_code);
    assert!(
        found == (vector, error_code),
        "vector {} error code {:#x} (CR2 {:#x}) instead of vector {vector} error code {error_code:#x}",
        found.0,
        found.1,
        trap.cr2
    );
    trap
}

/// What a handler may do: look, and change where and with what the interrupted code goes on.
pub(crate) type Handler = fn(&mut Trap);

static HANDLERS: [AtomicPtr<()>; NR_ENTRIES] =
    [const { AtomicPtr::new(core::ptr::null_mut()) }; NR_ENTRIES];

/// Gives one way in a handler of the case's own.
pub(crate) fn set_handler(vector: u64, handler: Handler) {
    HANDLERS[vector as usize].store(handler as *mut (), Ordering::Release);
}

// Each way in finds RCX and R11 on top of what the processor would push. The stub restores both, adds an
// error code where there is none, then its number. `trap_common` adds the other registers; RSP is then a
// multiple of 16, since the hypervisor aligns it before it pushes. `trap_return` takes it all back: it
// needs RSP to point to a `Frame`.
global_asm!(
    ".pushsection .text.trap, \"ax\"",
    ".macro trap_stub number, has_error_code",
    ".balign 16",
    "pop rcx",
    "pop r11",
    ".if \\has_error_code == 0",
    "push 0",
    ".endif",
    ".byte 0x68", // push, always with four bytes
    ".long \\number",
    "jmp trap_common",
    ".endm",
    ".global trap_stubs",
    ".balign 16",
    "trap_stubs:",
    ".set trap_number, 0",
    ".rept {nr_entries}",
    ".if trap_number == 8 || (trap_number >= 10 && trap_number <= 14) || trap_number == 17 || trap_number == 21",
    "trap_stub trap_number, 1",
    ".else",
    "trap_stub trap_number, 0",
    ".endif",
    ".set trap_number, trap_number + 1",
    ".endr",
    ".type trap_common, @function",
    "trap_common:",
    "push rcx",
    "push r11",
    "push rax",
    "push rdi",
    "push rsi",
    "push rdx",
    "push r8",
    "push r9",
    "push r10",
    "push rbx",
    "push rbp",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "pushfq",
    "pop rsi",
    "cld",
    "mov rdi, rsp",
    "mov rdx, cs",
    "mov rcx, ss",
    "xor ebp, ebp",
    "call {handle}",
    ".global trap_return",
    "trap_return:",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbp",
    "pop rbx",
    "pop r10",
    "pop r9",
    "pop r8",
    "pop rdx",
    "pop rsi",
    "pop rdi",
    "pop rax",
    "pop r11",
    "pop rcx",
    "add rsp, 16", // number, error code
    "push 0", // flags of the return
    "push rax",
    "xor eax, eax",
    "xchg rax, gs:[{iret_flags}]",
    "mov [rsp + 8], rax",
    "pop rax",
    "push rcx",
    "push r11",
    "push rax",
    "mov eax, {iret}",
    "syscall",
    "ud2",
    ".size trap_common, . - trap_common",
    ".popsection",
    nr_entries = const NR_ENTRIES,
    handle = sym handle,
    iret_flags = const cpu::IRET_FLAGS,
    iret = const guest_abi::hypercall::Hypercall::Iret.number(),
);

unsafe extern "C" {
    static trap_stubs: u8;
    static kernel_code_start: u8;
    static kernel_code_end: u8;
}

/// Bytes from one stub to the next.
const STUB_SIZE: u64 = 16;

/// Where the hypervisor enters for a vector or pseudo vector.
pub(crate) fn stub(vector: u64) -> Vaddr {
    Vaddr(&raw const trap_stubs as u64 + vector * STUB_SIZE)
}

/// The descriptor of a vector, usable by `INT n` from `dpl` up.
pub(crate) fn info(vector: u8, dpl: u8) -> TrapInfo {
    let mut info = TrapInfo::new_zeroed();
    info.vector = vector;
    info.flags = TrapFlags::from_bits_retain(dpl);
    info.cs = FLAT_RING3_CS64;
    info.address = stub(u64::from(vector));
    info
}

/// Sets some descriptors of this vCPU.
pub(crate) fn set_table(entries: &[TrapInfo]) -> Outcome {
    const MAX: usize = NR_VECTORS;
    let mut list = [TrapInfo::new_zeroed(); MAX + 1];
    list[..entries.len()].copy_from_slice(entries);
    hypercall!(SetTrapTable, &list[..])
}

/// Registers one of the ways in that have no vector.
pub(crate) fn register_callback(
    callback_type: CallbackType,
    flags: CallbackFlags,
    address: Vaddr,
) -> Outcome {
    let mut register = CallbackRegister::new_zeroed();
    register.callback_type = callback_type.number();
    register.flags = flags;
    register.address = address;
    hypercall!(CallbackOp, CallbackOp::Register.number(), &register)
}

/// The whole table of descriptors, usable by the kernel's own `INT n` only.
pub(crate) fn table() -> [TrapInfo; NR_VECTORS] {
    core::array::from_fn(|vector| info(vector as u8, 0))
}

/// Catches every vector on the vCPU that this runs on.
pub(crate) fn init() {
    assert_eq!(set_table(&table()), Ok(0));
}

/// Registers the entries from user mode and the failsafe one on the vCPU that this runs on.
pub(crate) fn init_callbacks() {
    for (callback_type, entry) in [
        (CallbackType::Event, EVENT),
        (CallbackType::Failsafe, FAILSAFE),
        (CallbackType::Syscall, SYSCALL),
        (CallbackType::Sysenter, SYSENTER),
        (CallbackType::Syscall32, SYSCALL32),
    ] {
        let outcome = register_callback(callback_type, CallbackFlags::MASK_EVENTS, stub(entry));
        assert_eq!(outcome, Ok(0), "{callback_type:?}");
    }
}

extern "C" fn handle(frame: &mut Frame, handler_rflags: u64, cs: u64, ss: u64) {
    let cpu = cpu::this();
    let info = event::vcpu_info();
    let has_error_code = matches!(frame.vector, 8 | 10..=14 | 17 | 21);
    let frame_start = core::ptr::from_ref(frame) as u64;
    // Above the frame's start lie 13 registers that only `trap_common` pushes, then what the hypervisor has.
    let pushed_start =
        core::mem::offset_of!(Frame, rip) as u64 - if has_error_code { 24 } else { 16 };
    let mut trap = Trap {
        frame: *frame,
        handler_rsp: frame_start + pushed_start,
        handler_rflags,
        handler_cs: cs,
        handler_ss: ss,
        cr2: info.cr2(),
        upcall_mask: info.upcall_mask(),
        offset: frame.rip.wrapping_sub(cpu.probe_start.get()),
    };
    let handler = HANDLERS[frame.vector as usize].load(Ordering::Acquire);
    if !handler.is_null() {
        // SAFETY: only `set_handler` stores here, and it stores such functions.
        let handler = unsafe { core::mem::transmute::<*mut (), Handler>(handler) };
        handler(&mut trap);
        *frame = trap.frame;
        return;
    }
    if frame.vector == EVENT {
        event::dispatch();
        return;
    }
    if frame.is_user() && cpu.user_caller_rsp.get() != 0 {
        cpu.trap.set(Some(trap));
        crate::user::leave();
    }
    let fixup = cpu.fixup.take();
    if fixup != 0 && !frame.is_user() {
        cpu.trap.set(Some(trap));
        frame.rip = fixup;
        // It may have gone to another segment.
        frame.cs = frame.cs & !0xffff | u64::from(FLAT_RING3_CS64) & !3;
        frame.rsp = cpu.probe_rsp.get();
        frame.rflags &= !(rflags::TF | rflags::DF | rflags::NT | rflags::AC | rflags::RF);
        return;
    }
    panic!(
        "vector {} error code {:#x} at {:#x} (CS {:#x}, RSP {:#x}, CR2 {:#x}, RAX {:#x})",
        frame.vector, frame.error_code, frame.rip, frame.cs, frame.rsp, trap.cr2, frame.rax
    );
}

/// The exception that the last [`probe!`] on this vCPU has met.
pub(crate) fn taken() -> Option<Trap> {
    cpu::this().trap.take()
}

/// Runs assembly that may fault; `Some` is the exception, after which the rest of it was skipped.
///
/// `probe!("instruction", … ; operands…)`. The operands are those of `asm!`. It is `asm!` in all but name:
/// whoever writes one owes what `asm!` asks for, and that all that the instructions change (before a
/// fault, too) is among the operands. A fault gives RSP back; without one the instructions must.
macro_rules! probe {
    ($($line:expr),+ $(,)? $(; $($operands:tt)*)?) => {{
        // SAFETY: see the macro's description. The exception handler keeps all registers and goes on at 77.
        #[allow(clippy::undocumented_unsafe_blocks, reason = "argued once, here")]
        unsafe {
            core::arch::asm!(
                "lea {probe_tmp}, [rip + 76f]",
                "mov gs:[{probe_start}], {probe_tmp}",
                "lea {probe_tmp}, [rip + 77f]",
                "mov gs:[{probe_fixup}], {probe_tmp}",
                "mov gs:[{probe_rsp}], rsp",
                "76:",
                $($line,)+
                "77:",
                "mov qword ptr gs:[{probe_fixup}], 0",
                probe_tmp = out(reg) _,
                probe_fixup = const $crate::cpu::FIXUP,
                probe_rsp = const $crate::cpu::PROBE_RSP,
                probe_start = const $crate::cpu::PROBE_START,
                $($($operands)*)?
            );
        }
        $crate::trap::taken()
    }};
}
pub(crate) use probe;

/// The flags now.
pub(crate) fn current_rflags() -> u64 {
    let flags;
    // SAFETY: reads the flags by way of the stack.
    unsafe { asm!("pushfq", "pop {}", out(reg) flags) };
    flags
}
