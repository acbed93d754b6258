//! An undefined instruction in 32-bit user code is vector 6, with the selector of that code.

use super::super::prelude::*;
use guest_abi::segment::{FLAT_RING3_CS32, FLAT_RING3_SS};

user_code!(user_undefined32, ".code32", "nop", "ud2", ".code64");

pub(crate) fn run() {
    user::load_new();
    let registers = user::registers32(user_undefined32());
    let frame = user::enter(&registers).frame;
    assert_eq!((frame.vector, frame.error_code), (UD, 0));
    assert_eq!(frame.rip, registers.rip + 1);
    assert_eq!(frame.cs, u64::from(FLAT_RING3_CS32));
    assert_eq!(frame.ss, u64::from(FLAT_RING3_SS));
}
