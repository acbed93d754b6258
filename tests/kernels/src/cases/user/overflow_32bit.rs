//! INTO in 32-bit user code is vector 4 after the instruction.

use super::super::prelude::*;
use guest_abi::segment::FLAT_RING3_CS32;

user_code!(
    user_overflow,
    ".code32",
    "mov al, 0x7f",
    "inc al",
    ".byte 0xce", // into
    "ud2",
    ".code64",
);

pub(crate) fn run() {
    user::load_new();
    let registers = user::registers32(user_overflow());
    let frame = user::enter(&registers).frame;
    assert_eq!((frame.vector, frame.error_code), (OF, 0));
    assert_eq!(frame.rip, registers.rip + 5);
    assert_eq!(frame.cs, u64::from(FLAT_RING3_CS32));
}
