//! An iret to user mode at an address that nothing is mapped to is a page fault there.

use super::super::prelude::*;

user_code!(user_unused, "syscall");

pub(crate) fn run() {
    user::load_new();
    let mut registers = user::registers(user_unused());
    registers.rip = user::HOLE.0;
    let trap = user::enter(&registers);
    assert_eq!((trap.frame.vector, trap.frame.rip), (PF, user::HOLE.0));
    assert_eq!(trap.frame.error_code, PF_USER | PF_FETCH);
    assert_eq!(trap.cr2, user::HOLE.0);
}
