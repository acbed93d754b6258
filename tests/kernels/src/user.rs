//! Guest user mode: an address space of its own, and stays in it that end with an entry.

use crate::cpu::{self, USER_CALLER_RSP};
use crate::hypercall::hypercall;
use crate::memory::{self, Frame, Tables, entry};
use crate::trap::{self, Trap, rflags};
use core::arch::global_asm;
use guest_abi::ids::Vaddr;
use guest_abi::mmu::MmuextOp;
use guest_abi::segment::{FLAT_RING3_CS32, FLAT_RING3_CS64, FLAT_RING3_SS};

/// Where the code of the image's `.user` section begins in user mode.
const CODE: Vaddr = Vaddr(0x40_0000);
/// A page that user mode may write.
pub(crate) const DATA: Vaddr = Vaddr(0x48_0000);
/// The end of the stack's page.
pub(crate) const STACK_END: Vaddr = Vaddr(0x49_1000);
/// An address in the same level-1 table that nothing is mapped to.
pub(crate) const HOLE: Vaddr = Vaddr(0x4a_0000);

unsafe extern "C" {
    static user_code_start: u8;
    static user_code_end: u8;
}

/// An address space for user mode.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UserSpace {
    pub(crate) tables: Tables,
    pub(crate) data: Frame,
    pub(crate) stack: Frame,
}

/// Makes an address space, pinned, and loads it on this vCPU.
pub(crate) fn load_new() -> UserSpace {
    let tables = Tables::new(CODE);
    let [data, stack] = Frame::alloc_many();
    let (start, end) = (
        &raw const user_code_start as u64,
        &raw const user_code_end as u64,
    );
    for va in (start..end).step_by(4096) {
        let frame = Frame::at(Vaddr(va));
        tables
            .l1
            .write((va - start) as usize >> 12, entry(frame.mfn(), USER_RO));
    }
    for (va, frame) in [(DATA.0, data), (STACK_END.0 - 1, stack)] {
        tables
            .l1
            .write((va >> 12 & 511) as usize, entry(frame.mfn(), USER_RW));
    }
    tables.protect();
    let root = tables.l4.mfn();
    assert_eq!(memory::mmuext_one(MmuextOp::PinL4Table, root), Ok(0));
    let space = UserSpace {
        tables,
        data,
        stack,
    };
    space.load();
    space
}

const USER_RO: u64 = memory::PRESENT | memory::USER | memory::ACCESSED;
const USER_RW: u64 = USER_RO | memory::WRITABLE | memory::DIRTY;

impl UserSpace {
    /// Makes it the user address space of the vCPU that this runs on.
    pub(crate) fn load(&self) {
        let root = self.tables.l4.mfn();
        assert_eq!(memory::mmuext_one(MmuextOp::NewUserBaseptr, root), Ok(0));
    }
}

/// `user_code!(name, "instruction", …; operands)`: code for user mode, as the function `name()` that says where it is.
macro_rules! user_code {
    ($name:ident, $($line:literal),+ $(,)? $(; $($operands:tt)*)?) => {
        core::arch::global_asm!(
            ".pushsection .user, \"ax\"",
            concat!(".global user_code_", stringify!($name)),
            concat!("user_code_", stringify!($name), ":"),
            $($line,)+
            ".popsection",
            $($($operands)*)?
        );

        fn $name() -> *const u8 {
            unsafe extern "C" {
                #[link_name = concat!("user_code_", stringify!($name))]
                static START: u8;
            }
            &raw const START
        }
    };
}
pub(crate) use user_code;

/// The address in user mode of code in the section `.user`.
pub(crate) fn code(symbol: *const u8) -> Vaddr {
    Vaddr(CODE.0 + (symbol as u64 - &raw const user_code_start as u64))
}

/// Registers with which 64-bit user code starts: selectors and stack as usual, events unmasked.
pub(crate) fn registers(symbol: *const u8) -> trap::Frame {
    trap::Frame {
        rip: code(symbol).0,
        cs: u64::from(FLAT_RING3_CS64),
        rflags: rflags::ALWAYS | rflags::IF,
        rsp: STACK_END.0,
        ss: u64::from(FLAT_RING3_SS),
        ..trap::Frame::default()
    }
}

/// Registers with which 32-bit user code starts.
pub(crate) fn registers32(symbol: *const u8) -> trap::Frame {
    trap::Frame {
        cs: u64::from(FLAT_RING3_CS32),
        ..registers(symbol)
    }
}

/// Runs user mode with these registers until it enters this kernel.
pub(crate) fn enter(registers: &trap::Frame) -> Trap {
    enter_with_stack(registers, cpu::entry_stack_end(cpu::id()))
}

/// As [`enter`], with this stack for the way back.
pub(crate) fn enter_with_stack(registers: &trap::Frame, stack: u64) -> Trap {
    assert_eq!(hypercall!(StackSwitch, FLAT_RING3_SS, stack), Ok(0));
    // SAFETY: the function keeps what the calling convention asks for; user mode reaches nothing of this
    // kernel's memory but the pages of its own address space.
    unsafe { user_enter(registers) };
    match trap::taken() {
        Some(trap) => trap,
        None => panic!("user mode ended without an entry"),
    }
}

/// Ends the stay in user mode that this entry has interrupted.
pub(crate) fn leave() -> ! {
    // SAFETY: the caller has seen that somebody is in `user_enter`.
    unsafe { user_leave() }
}

unsafe extern "C" {
    fn user_enter(registers: &trap::Frame);
    fn user_leave() -> !;
}

// user_enter: RDI points to a Frame. Keeps the callee-saved registers on the stack, whose address it leaves
// in the vCPU's data; copies the frame to the stack and returns by it.
// user_leave: goes back to user_enter's caller, on its stack.
global_asm!(
    ".pushsection .text.user_mode, \"ax\"",
    ".global user_enter",
    ".type user_enter, @function",
    "user_enter:",
    "push rbp",
    "push rbx",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "mov gs:[{caller_rsp}], rsp",
    "mov rsi, rdi",
    "sub rsp, {frame_size}",
    "mov rdi, rsp",
    "mov ecx, {frame_size} / 8",
    "rep movsq",
    "jmp trap_return",
    ".size user_enter, . - user_enter",
    ".global user_leave",
    ".type user_leave, @function",
    "user_leave:",
    "xor eax, eax",
    "xchg rax, gs:[{caller_rsp}]",
    "mov rsp, rax",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbx",
    "pop rbp",
    "ret",
    ".size user_leave, . - user_leave",
    ".popsection",
    caller_rsp = const USER_CALLER_RSP,
    frame_size = const size_of::<trap::Frame>(),
);
