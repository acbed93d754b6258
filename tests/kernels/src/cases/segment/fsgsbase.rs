//! Where the instructions for it are offered, user mode changes its bases without a hypercall, and they
//! survive the kernel.

use super::super::prelude::*;
use crate::cpu::{self, cpuid};

user_code!(user_write_bases, "wrfsbase rdi", "wrgsbase rsi", "syscall",);
user_code!(user_read_bases, "rdfsbase rax", "rdgsbase rbx", "syscall");

pub(crate) fn run() {
    let [highest, ..] = cpuid(0, 0);
    if highest < 7 || cpuid(7, 0)[1] & 1 == 0 {
        skip!("the processor or the hypervisor has no FSGSBASE");
    }
    user::load_new();
    let cr4: u64;
    let trap = probe!("mov {cr4}, cr4", "or {cr4}, 0x10000", "mov cr4, {cr4}"; cr4 = out(reg) cr4);
    assert_eq!((trap, cr4 >> 16 & 1), (None, 1));
    let mut registers = user::registers(user_write_bases());
    (registers.rdi, registers.rsi) = (user::DATA.0, user::DATA.0 + 8);
    assert_eq!(user::enter(&registers).frame.vector, trap::SYSCALL);
    assert_eq!(cpu::read_msr(0xc000_0102), Some(user::DATA.0 + 8));
    let frame = user::enter(&user::registers(user_read_bases())).frame;
    assert_eq!((frame.rax, frame.rbx), (user::DATA.0, user::DATA.0 + 8));
    assert_eq!(cpu::id(), VcpuId(0));
}
