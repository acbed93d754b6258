//! A push to a stack at no address, in user mode, is vector 12 with error code 0.

use super::super::prelude::*;

user_code!(user_push, "push rax", "ud2");

pub(crate) fn run() {
    user::load_new();
    let mut registers = user::registers(user_push());
    registers.rsp = NON_CANONICAL;
    let frame = user::enter(&registers).frame;
    if frame.vector == GP {
        skip!("the processor (QEMU's emulation) raises vector 13 for it");
    }
    assert_eq!((frame.vector, frame.error_code), (SS, 0));
    assert_eq!(frame.rsp, NON_CANONICAL);
}
