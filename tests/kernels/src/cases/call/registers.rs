//! A hypercall changes RAX, RCX and R11 and nothing else, flags and SSE registers included; so does one that
//! takes an event on its way out.

use super::super::prelude::*;
use guest_abi::hypercall::Hypercall;

pub(crate) fn run() {
    let port = event::bind_ipi(VcpuId(0));
    for (number, rdi, rsi) in [
        (Hypercall::Version.number(), 0u64, 0u64),
        (0x1234, 1, 2),
        (
            Hypercall::EventChannelOp.number(),
            4,
            &port as *const _ as u64,
        ),
    ] {
        event::unmask_upcalls();
        check(number, rdi, rsi);
    }
    assert_eq!(event::count(port), 1);
}

fn check(number: u64, rdi: u64, rsi: u64) {
    /// RDI, RSI, RDX, RBX, RBP, R8 to R10, R12 to R15.
    const COUNT: usize = 12;
    let mut found = [0u64; COUNT + 2];
    let (xmm, flags): (u64, u64);
    let trap = probe!(
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "push {found}",
        "mov rbx, 0x1111",
        "mov rbp, 0x2222",
        "movq xmm5, rbx",
        "mov r12, 0xc",
        "mov r13, 0xd",
        "mov r14, 0xe",
        "mov r15, 0xf",
        "mov rdx, 0xd1",
        "mov r8, 8",
        "mov r9, 9",
        "mov r10, 10",
        "stc",
        "syscall",
        "push rax",
        "mov rax, [rsp + 8]",
        "mov [rax], rdi",
        "mov [rax + 8], rsi",
        "mov [rax + 16], rdx",
        "mov [rax + 24], rbx",
        "mov [rax + 32], rbp",
        "mov [rax + 40], r8",
        "mov [rax + 48], r9",
        "mov [rax + 56], r10",
        "mov [rax + 64], r12",
        "mov [rax + 72], r13",
        "mov [rax + 80], r14",
        "mov [rax + 88], r15",
        "pop rax",
        "pushfq",
        "pop rcx",
        "movq r11, xmm5",
        "pop rbp", // the address of `found`
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbp",
        "pop rbx";
        found = in(reg) found.as_mut_ptr(),
        inout("rax") number => _,
        inout("rdi") rdi => _,
        inout("rsi") rsi => _,
        out("rcx") flags,
        out("r11") xmm,
        out("rdx") _,
        out("r8") _,
        out("r9") _,
        out("r10") _,
        out("xmm5") _,
    );
    assert_eq!(trap, None);
    let expected = [rdi, rsi, 0xd1, 0x1111, 0x2222, 8, 9, 10, 0xc, 0xd, 0xe, 0xf];
    assert_eq!(found[..COUNT], expected, "number {number:#x}");
    assert_eq!(xmm, 0x1111);
    assert_eq!(flags & rflags::CF, rflags::CF);
}
