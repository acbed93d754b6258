//! SYSENTER with the flag NT set, which it leaves alone, enters the kernel like any other, and the kernel goes on.

use super::super::prelude::*;
use crate::cpu;

user_code!(
    user_nested_sysenter,
    "pushfq",
    "or dword ptr [rsp], 0x4000",
    "popfq",
    "sysenter",
    "ud2"
);

pub(crate) fn run() {
    if cpu::is_amd() {
        skip!("the processor has no SYSENTER in long mode");
    }
    user::load_new();
    for _ in 0..3 {
        let trap = user::enter(&user::registers(user_nested_sysenter()));
        assert_eq!(trap.frame.vector, trap::SYSENTER);
        assert_eq!(trap.handler_rflags & rflags::NT, 0);
    }
}
