//! An exception whose frame can't be pushed crashes the domain.

use super::super::prelude::*;
use crate::verdict;

pub(crate) fn run() {
    verdict::expect_crash();
    probe!("mov rsp, {stack}", "ud2"; stack = in(reg) 0x1_0000_0000u64);
    panic!("the frame has gone somewhere");
}
