//! The first instructions, and the way to the case that the command line asks for.

use crate::notes::VIRT_BASE;
use crate::{catalogue, command_line, cpu, event, memory, trap, verdict};
use core::arch::global_asm;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, Ordering};
use guest_abi::start_of_day::StartInfo;

/// What the processor held before the first instruction of this kernel changed anything.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct InitialState {
    pub(crate) rsi: AtomicU64,
    pub(crate) rsp: AtomicU64,
    /// All other general registers, each OR-ed into one: none has anything to say.
    pub(crate) other_registers: AtomicU64,
    pub(crate) rflags: AtomicU64,
    pub(crate) cs: AtomicU64,
    pub(crate) ss: AtomicU64,
    /// DS, ES, FS and GS, OR-ed into one.
    pub(crate) other_selectors: AtomicU64,
}

/// The state at the start.
#[unsafe(no_mangle)]
static initial_state: InitialState = InitialState {
    // Not zero, so that it lies in .data: the entry writes it before anything else has run.
    rsi: AtomicU64::new(1),
    rsp: AtomicU64::new(0),
    other_registers: AtomicU64::new(0),
    rflags: AtomicU64::new(0),
    cs: AtomicU64::new(0),
    ss: AtomicU64::new(0),
    other_selectors: AtomicU64::new(0),
};

/// The state at the start.
pub(crate) fn initial() -> &'static InitialState {
    &initial_state
}

// kernel_start: RSI is the address of the start-of-day page, RSP the end of the boot stack.
// ap_start: RDI is the address of the vCPU's `Cpu`, RSP the end of its stack, GS base as RDI.
global_asm!(
    ".pushsection .text.start, \"ax\"",
    ".global kernel_start",
    ".type kernel_start, @function",
    "kernel_start:",
    "mov [rip + initial_state + {rsi}], rsi",
    "mov [rip + initial_state + {rsp}], rsp",
    "or rax, rbx",
    "or rax, rcx",
    "or rax, rdx",
    "or rax, rdi",
    "or rax, rbp",
    "or rax, r8",
    "or rax, r9",
    "or rax, r10",
    "or rax, r11",
    "or rax, r12",
    "or rax, r13",
    "or rax, r14",
    "or rax, r15",
    // Of the flags only the OR above has changed the arithmetic ones.
    "mov [rip + initial_state + {others}], rax",
    "pushfq",
    "pop [rip + initial_state + {rflags}]",
    "mov rax, cs",
    "mov [rip + initial_state + {cs}], rax",
    "mov rax, ss",
    "mov [rip + initial_state + {ss}], rax",
    "mov rax, ds",
    "mov rcx, es",
    "or rax, rcx",
    "mov rcx, fs",
    "or rax, rcx",
    "mov rcx, gs",
    "or rax, rcx",
    "mov [rip + initial_state + {selectors}], rax",
    "cld",
    "xor ebp, ebp",
    "lea rsp, [rip + boot_stack + {stack}]",
    "call {main}",
    "ud2",
    ".size kernel_start, . - kernel_start",
    ".global ap_start",
    ".type ap_start, @function",
    "ap_start:",
    "xor ebp, ebp",
    "call {ap_main}",
    "ud2",
    ".size ap_start, . - ap_start",
    ".popsection",
    ".pushsection .bss.boot_stack, \"aw\", @nobits",
    ".balign 4096",
    "boot_stack: .skip {stack}",
    ".popsection",
    rsi = const offset_of!(InitialState, rsi),
    rsp = const offset_of!(InitialState, rsp),
    others = const offset_of!(InitialState, other_registers),
    rflags = const offset_of!(InitialState, rflags),
    cs = const offset_of!(InitialState, cs),
    ss = const offset_of!(InitialState, ss),
    selectors = const offset_of!(InitialState, other_selectors),
    stack = const BOOT_STACK_SIZE,
    main = sym kernel_main,
    ap_main = sym crate::smp::ap_main,
);

const BOOT_STACK_SIZE: usize = 128 * 1024;

/// The start-of-day page.
pub(crate) fn start_info() -> &'static StartInfo {
    let address = initial_state.rsi.load(Ordering::Relaxed);
    // SAFETY: the builder has put a whole page there, in the initial mapping, for this kernel alone.
    unsafe { &*(address as *const StartInfo) }
}

extern "C" fn kernel_main() -> ! {
    cpu::init_first();
    trap::init();
    event::init();
    assert!(start_info().pt_base.0 >= VIRT_BASE, "no initial mapping");
    memory::init();
    let name = command_line::test_name();
    if name == "list" {
        for case in catalogue::CASES {
            println!("{}", case.name);
        }
        verdict::pass();
    }
    let others = [
        catalogue::MEASUREMENTS,
        catalogue::GUESTS,
        catalogue::FAULTS_OF_EMULATOR,
    ];
    let mut all = catalogue::CASES.iter().chain(others.into_iter().flatten());
    match all.find(|case| case.name == name) {
        Some(case) => (case.run)(),
        None => panic!("no such case; test=list shows their names"),
    }
    verdict::pass()
}
