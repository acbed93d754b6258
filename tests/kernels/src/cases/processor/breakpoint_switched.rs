//! A hypercall with a breakpoint on its argument, or with the trap flag set, stops the kernel at most, never
//! the hypervisor.

use super::super::prelude::*;
use guest_abi::hypercall::Hypercall;

pub(crate) fn run() {
    let frame = Frame::alloc();
    assert_eq!(hypercall!(SetDebugreg, 0u64, frame.va().0), Ok(0));
    // Reads and writes, eight bytes.
    assert_eq!(hypercall!(SetDebugreg, 7u64, 0b1011u64 << 16 | 1), Ok(0));
    let trap = probe!(
        "syscall",
        "nop";
        inout("rax") Hypercall::Version.number() => _,
        in("rdi") 1u64,
        in("rsi") frame.va().0,
        out("rcx") _,
        out("r11") _,
    );
    if let Some(trap) = trap {
        assert_eq!(trap.frame.vector, DB);
    }
    assert_eq!(hypercall!(SetDebugreg, 7u64, 0u64), Ok(0));
    assert_ne!(frame.read(0), 0, "the text is there");

    let trap = probe!(
        "pushfq",
        "or qword ptr [rsp], {tf}",
        "popfq",
        "syscall",
        "nop";
        tf = const rflags::TF,
        inout("rax") Hypercall::Version.number() => _,
        in("rdi") 0u64,
        in("rsi") 0u64,
        out("rcx") _,
        out("r11") _,
    );
    let trap = trap::expect(trap, DB, 0);
    // PUSHFQ, OR, POPFQ: 10 bytes; SYSCALL 2. It stops behind the hypercall, or an instruction later.
    assert!([12, 13].contains(&trap.offset), "probe + {}", trap.offset);
}
