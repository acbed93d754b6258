//! A system call clears the direction flag and those that would disturb the kernel; the frame keeps them.

use super::super::prelude::*;

user_code!(
    syscall_with_flags,
    "pushfq",
    "or qword ptr [rsp], 0x44401", // AC, NT, DF, CF
    "popfq",
    "syscall",
    "ud2",
);

pub(crate) fn run() {
    user::load_new();
    let trap = user::enter(&user::registers(syscall_with_flags()));
    assert_eq!(trap.frame.vector, trap::SYSCALL);
    let set = rflags::AC | rflags::NT | rflags::DF | rflags::CF;
    assert_eq!(trap.frame.rflags & set, set, "in the frame");
    assert_eq!(trap.frame.r11 & set, set, "in R11");
    assert_eq!(
        trap.handler_rflags & (rflags::AC | rflags::NT | rflags::DF | rflags::TF),
        0,
        "in the handler"
    );
}
