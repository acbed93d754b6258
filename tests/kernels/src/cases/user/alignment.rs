//! An unaligned access with alignment checks on, in user mode, is vector 17 with error code 0; the checks
//! are off in the handler and on again afterwards.

use super::super::prelude::*;

user_code!(user_unaligned, "mov rax, [rdi + 1]", "ud2");

pub(crate) fn run() {
    user::load_new();
    let mut registers = user::registers(user_unaligned());
    registers.rdi = user::DATA.0;
    registers.rflags |= rflags::AC;
    let trap = user::enter(&registers);
    if trap.frame.vector == UD {
        skip!("the processor (QEMU's emulation) does not check alignment");
    }
    assert_eq!((trap.frame.vector, trap.frame.error_code), (AC, 0));
    assert_eq!(trap.handler_rflags & rflags::AC, 0);
    assert_eq!(trap.frame.rflags & rflags::AC, rflags::AC);
}
