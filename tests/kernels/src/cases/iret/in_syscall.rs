//! The flag of a return from a system call leaves RCX and R11 to the processor, which puts address and
//! flags there.

use super::super::prelude::*;
use crate::cpu;
use guest_abi::trap::IretFlags;

user_code!(user_after, "mov rbx, rcx", "mov rdx, r11", "syscall");

pub(crate) fn run() {
    user::load_new();
    let mut registers = user::registers(user_after());
    (registers.rcx, registers.r11) = (0x1111, 0x2222);
    let frame = user::enter(&registers).frame;
    assert_eq!((frame.rbx, frame.rdx), (0x1111, 0x2222), "without the flag");
    cpu::this().iret_flags.set(IretFlags::IN_SYSCALL.bits());
    let frame = user::enter(&registers).frame;
    assert_eq!(frame.vector, trap::SYSCALL);
    // Where SYSRET is taken: address and flags of where user mode starts.
    assert_eq!(frame.rbx, registers.rip, "RCX with the flag");
    assert_eq!(frame.rdx, registers.rflags, "R11 with the flag");
}
