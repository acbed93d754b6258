//! An unmasked x87 exception in user mode is vector 16, and the registers are those of the kernel: both
//! run on the same vCPU.

use super::super::prelude::*;

user_code!(
    user_x87,
    "fninit",
    "push 0x37b",
    "fldcw [rsp]",
    "pop rax",
    "fld1",
    "fldz",
    "fdivp",
    "fwait",
    "ud2",
);
user_code!(user_xmm, "movq rax, xmm3", "paddq xmm3, xmm3", "syscall");

pub(crate) fn run() {
    user::load_new();
    let frame = user::enter(&user::registers(user_x87())).frame;
    assert_eq!((frame.vector, frame.error_code), (MF, 0));
    probe!("fnclex", "fninit");

    probe!("movq xmm3, {value}"; value = in(reg) 0x1122_3344u64);
    let frame = user::enter(&user::registers(user_xmm())).frame;
    assert_eq!(frame.rax, 0x1122_3344);
    let value: u64;
    probe!("movq {value}, xmm3"; value = out(reg) value);
    assert_eq!(value, 0x2244_6688);
}
