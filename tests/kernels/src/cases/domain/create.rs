//! A domain that is built from nothing runs, says so, and ends; what is left of it goes with its frames.

use super::super::prelude::*;
use crate::control::{DATA, Guest};
use guest_abi::sched_op::ShutdownReason;

user_code!(
    says_hello,
    "mov rax, 0x6f6c6c6568",
    "mov [rsi], rax",
    // sched_op, shutdown, power off: the reason is the second word of the data page.
    "mov eax, 29",
    "mov edi, 2",
    "add rsi, 8",
    "syscall",
    "ud2",
);

pub(crate) fn run() {
    let guest = Guest::with_code(says_hello());
    guest.start();
    assert_eq!(guest.wait_for_end(), ShutdownReason::Poweroff as u8);
    assert_eq!(guest.window.read(DATA, 0), 0x6f_6c6c_6568);
    guest.end();
}
