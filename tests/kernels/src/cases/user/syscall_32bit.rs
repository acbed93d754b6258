//! SYSCALL in 32-bit user code, on processors that have it, enters the kernel at a callback of its own.

use super::super::prelude::*;
use crate::cpu;
use guest_abi::callback_op::{CallbackFlags, CallbackType};
use guest_abi::segment::{FLAT_RING3_CS32, FLAT_RING3_SS};

user_code!(
    user_syscall32,
    ".code32",
    "nop",
    "syscall",
    "ud2",
    ".code64"
);

pub(crate) fn run() {
    user::load_new();
    let mut registers = user::registers32(user_syscall32());
    registers.rax = 20;
    registers.rbp = 0x1234_5678;
    let trap = user::enter(&registers);
    if !cpu::is_amd() {
        if trap.frame.vector == trap::SYSCALL32 {
            skip!("the processor (QEMU's emulation) takes the instruction in spite of its maker");
        }
        assert_eq!(trap.frame.vector, UD, "an Intel processor has none");
        assert_eq!(trap.frame.rip, registers.rip + 1);
        return;
    }
    assert_eq!(trap.frame.vector, trap::SYSCALL32);
    assert_eq!(trap.frame.rip, registers.rip + 3);
    assert_eq!(trap.frame.rcx, registers.rip + 3);
    assert_eq!(trap.frame.cs, u64::from(FLAT_RING3_CS32));
    assert_eq!(trap.frame.ss, u64::from(FLAT_RING3_SS));
    assert_eq!(trap.frame.rsp, registers.rsp);
    assert_eq!((trap.frame.rax, trap.frame.rbp), (20, 0x1234_5678));
    assert_eq!(trap.upcall_mask, 1);

    let outcome =
        trap::register_callback(CallbackType::Syscall32, CallbackFlags::empty(), Vaddr(0));
    assert_eq!(outcome, Ok(0));
    let trap = user::enter(&registers);
    assert_eq!((trap.frame.vector, trap.frame.rip), (UD, registers.rip + 1));
}
