//! The trap flag in user mode is vector 1 after the next instruction, a system call included.

use super::super::prelude::*;

user_code!(step_nop, "nop", "nop", "ud2");
user_code!(step_syscall, "syscall", "nop", "ud2");

pub(crate) fn run() {
    user::load_new();
    let mut registers = user::registers(step_nop());
    registers.rflags |= rflags::TF;
    let trap = user::enter(&registers);
    assert_eq!((trap.frame.vector, trap.frame.error_code), (DB, 0));
    assert_eq!(trap.frame.rip, registers.rip + 1);
    assert_eq!(trap.frame.rflags & rflags::TF, rflags::TF);
    assert_eq!(trap.handler_rflags & rflags::TF, 0);

    let mut registers = user::registers(step_syscall());
    registers.rflags |= rflags::TF;
    let trap = user::enter(&registers);
    assert_eq!(trap.frame.vector, trap::SYSCALL);
    assert_eq!(trap.frame.rflags & rflags::TF, rflags::TF);
    assert_eq!(trap.handler_rflags & rflags::TF, 0);
}
