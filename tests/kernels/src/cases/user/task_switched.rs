//! With the task-switched flag set, the first floating-point instruction in user mode is vector 7, once.

use super::super::prelude::*;

user_code!(
    user_fpu,
    "nop",
    "movups xmm0, [rsp - 16]",
    "fld1",
    "syscall"
);

pub(crate) fn run() {
    user::load_new();
    assert_eq!(hypercall!(FpuTaskswitch, 1u64), Ok(0));
    let mut registers = user::registers(user_fpu());
    let frame = user::enter(&registers).frame;
    assert_eq!((frame.vector, frame.error_code), (NM, 0));
    assert_eq!(frame.rip, registers.rip + 1);
    registers.rip = frame.rip;
    assert_eq!(user::enter(&registers).frame.vector, trap::SYSCALL);
}
