//! An iret to user mode without an address space for it crashes the domain.

use super::super::prelude::*;
use crate::verdict;

user_code!(user_never, "syscall");

pub(crate) fn run() {
    verdict::expect_crash();
    user::enter(&user::registers(user_never()));
    panic!("user mode runs in the kernel's address space");
}
