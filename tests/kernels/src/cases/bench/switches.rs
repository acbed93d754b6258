//! Switches between vCPUs of two domains on one processor.

use super::*;
use crate::control::{DATA, Guest};
use guest_abi::hypercall::Hypercall;
use guest_abi::sched_op::SchedOp;

user_code!(
    yields_always,
    "2: inc qword ptr [rsi]",
    "mov eax, 29",
    "xor edi, edi",
    "syscall",
    "jmp 2b",
);

/// Both do nothing but give way to the other.
pub(super) fn run() {
    let guest = Guest::with_code(yields_always());
    guest.start();
    let before = guest.window.read(DATA, 0);
    measure_call("two switches between domains", Hypercall::SchedOp, |_| {
        [SchedOp::Yield as u64, 0, 0, 0]
    });
    let turns = guest.window.read(DATA, 0) - before;
    assert!(turns >= SAMPLES as u64 / 2, "it ran {turns} times");
    guest.end();
}
