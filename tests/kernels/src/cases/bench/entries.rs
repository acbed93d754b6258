//! Entries into the guest's kernel, and back: from its user mode and from itself.

use super::*;
use core::arch::{asm, global_asm};
use guest_abi::callback_op::{CallbackFlags, CallbackType};
use guest_abi::hypercall::Hypercall;
use guest_abi::trap::{TrapFlags, TrapInfo};

// The shortest ways in that can go back: of a system call, of a page fault whose instruction has two bytes
// and is skipped, of an exception without an error code.
global_asm!(
    ".pushsection .text.bench_entries, \"ax\"",
    ".macro bench_return",
    "push 0",
    "push rcx",
    "push r11",
    "push rax",
    "mov eax, {iret}",
    "syscall",
    "ud2",
    ".endm",
    ".global bench_plain, bench_page_fault",
    "bench_plain:",
    "pop rcx",
    "pop r11",
    "bench_return",
    "bench_page_fault:",
    "pop rcx",
    "pop r11",
    "add rsp, 8",
    "add qword ptr [rsp], 2",
    "bench_return",
    ".popsection",
    iret = const Hypercall::Iret.number(),
);

// R8 is where the samples go, RDI their number, RSI an address that faults.
user_code!(
    bench_syscalls,
    "2: rdtsc",
    "mov ebx, eax",
    "syscall",
    "rdtsc",
    "sub eax, ebx",
    "mov [r8 + rdi * 8 - 8], rax",
    "dec rdi",
    "jnz 2b",
    "ud2",
);
user_code!(
    bench_faults,
    "2: rdtsc",
    "mov ebx, eax",
    "mov al, [rsi]",
    "rdtsc",
    "sub eax, ebx",
    "mov [r8 + rdi * 8 - 8], rax",
    "dec rdi",
    "jnz 2b",
    "ud2",
);
user_code!(
    bench_breakpoints,
    "2: rdtsc",
    "mov ebx, eax",
    "int3",
    "rdtsc",
    "sub eax, ebx",
    "mov [r8 + rdi * 8 - 8], rax",
    "dec rdi",
    "jnz 2b",
    "ud2",
);
user_code!(
    bench_nothing,
    "2: rdtsc",
    "mov ebx, eax",
    "rdtsc",
    "sub eax, ebx",
    "mov [r8 + rdi * 8 - 8], rax",
    "dec rdi",
    "jnz 2b",
    "ud2",
);

unsafe extern "C" {
    static bench_plain: u8;
    static bench_page_fault: u8;
}

fn handler(vector: u64, entry: *const u8) -> TrapInfo {
    let mut info = trap::info(vector as u8, 3);
    info.flags = TrapFlags::from_bits_retain(3);
    info.address = Vaddr(entry as u64);
    info
}

/// Runs user code that leaves its samples in the data page. Returns their median.
fn from_user(space: &user::UserSpace, code: *const u8) -> u64 {
    let mut registers = user::registers(code);
    registers.r8 = user::DATA.0;
    registers.rdi = SAMPLES as u64;
    registers.rsi = user::HOLE.0;
    let trap = user::enter(&registers);
    assert_eq!(trap.frame.vector, UD);
    let mut samples = Samples::new();
    for index in 0..SAMPLES {
        samples.add(space.data.read(index));
    }
    samples.median()
}

pub(super) fn run() {
    let space = user::load_new();
    let plain = &raw const bench_plain;
    let callback = trap::register_callback(
        CallbackType::Syscall,
        CallbackFlags::empty(),
        Vaddr(plain as u64),
    );
    assert_eq!(callback, Ok(0));
    let handlers = [handler(BP, plain), handler(PF, &raw const bench_page_fault)];
    assert_eq!(trap::set_table(&handlers), Ok(0));

    let nothing = from_user(&space, bench_nothing());
    for (name, code) in [
        ("system call of user mode and return", bench_syscalls()),
        ("page fault of user mode and return", bench_faults()),
        ("breakpoint of user mode and return", bench_breakpoints()),
    ] {
        println!("COST {name}: {}", from_user(&space, code) - nothing);
    }
    let hole = memory::SPARE.0 + 4096 * 100;
    measure(
        "page fault of the kernel and return",
        |_| (),
        |_| {
            // SAFETY: the handler skips the instruction, whatever AL is then.
            unsafe { asm!("mov al, [rsi]", in("rsi") hole, out("al") _) };
        },
    );
    measure(
        "CPUID of the kernel, emulated",
        |_| (),
        |_| {
            // SAFETY: the hypervisor emulates the instruction behind this prefix; RBX is given back.
            unsafe {
                asm!("mov {saved}, rbx", "ud2", ".ascii \"xen\"", "cpuid", "mov rbx, {saved}",
                     saved = out(reg) _, inout("eax") 0 => _, inout("ecx") 0 => _, out("edx") _);
            }
        },
    );
}
