//! An iret whose frame can't be read crashes the domain.

use super::super::prelude::*;
use crate::verdict;

pub(crate) fn run() {
    verdict::expect_crash();
    probe!(
        "mov rsp, {stack}",
        "syscall";
        stack = in(reg) 0x1_0000_0000u64,
        inout("rax") guest_abi::hypercall::Hypercall::Iret.number() => _,
        out("rcx") _,
        out("r11") _,
    );
    panic!("the frame came from somewhere");
}
