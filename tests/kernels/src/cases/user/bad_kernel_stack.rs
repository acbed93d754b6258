//! An entry from user mode whose frame can't be pushed crashes the domain.

use super::super::prelude::*;
use crate::verdict;

user_code!(user_fault, "ud2");

pub(crate) fn run() {
    user::load_new();
    verdict::expect_crash();
    user::enter_with_stack(&user::registers(user_fault()), 0x1_0000_0000);
    panic!("the frame has gone somewhere");
}
