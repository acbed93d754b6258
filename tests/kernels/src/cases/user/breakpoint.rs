//! INT3 in user mode is vector 3 after the instruction, and INT 4 vector 4.

use super::super::prelude::*;

user_code!(user_breakpoint, "int3", "ud2");
user_code!(user_int4, "int 4", "ud2");

pub(crate) fn run() {
    user::load_new();
    let registers = user::registers(user_breakpoint());
    let frame = user::enter(&registers).frame;
    assert_eq!((frame.vector, frame.error_code), (BP, 0));
    assert_eq!(frame.rip, registers.rip + 1);
    let registers = user::registers(user_int4());
    let frame = user::enter(&registers).frame;
    assert_eq!((frame.vector, frame.error_code), (OF, 0));
    assert_eq!(frame.rip, registers.rip + 2);
}
