//! BOUND out of bounds in 32-bit user code is vector 5 at the instruction.

use super::super::prelude::*;

user_code!(
    user_bound,
    ".code32",
    "push 5",
    "push 3",
    "mov eax, 6",
    ".byte 0x62, 0x04, 0x24", // bound eax, [esp]
    "ud2",
    ".code64",
);

pub(crate) fn run() {
    user::load_new();
    let registers = user::registers32(user_bound());
    let frame = user::enter(&registers).frame;
    assert_eq!((frame.vector, frame.error_code), (BR, 0));
    assert_eq!(frame.rip, registers.rip + 9);
}
