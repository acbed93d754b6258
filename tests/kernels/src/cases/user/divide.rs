//! A division by zero in user mode is vector 0 at the instruction.

use super::super::prelude::*;

user_code!(user_divide, "xor ecx, ecx", "div ecx", "ud2");

pub(crate) fn run() {
    user::load_new();
    let registers = user::registers(user_divide());
    let frame = user::enter(&registers).frame;
    assert_eq!((frame.vector, frame.error_code), (DE, 0));
    assert_eq!(frame.rip, registers.rip + 2);
    assert!(frame.is_user());
}
