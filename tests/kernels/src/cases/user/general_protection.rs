//! Privileged instructions in user mode are vector 13, whatever the kernel may do.

use super::super::prelude::*;
use crate::cpu;

user_code!(user_cli, "cli", "ud2");
user_code!(user_hlt, "hlt", "ud2");
user_code!(user_cr0, "mov rax, cr0", "ud2");
user_code!(user_cr3, "mov rax, cr3", "ud2");
user_code!(user_clts, "clts", "ud2");
user_code!(user_rdmsr, "mov ecx, 0xc0000080", "rdmsr", "ud2");
user_code!(user_wrmsr, "mov ecx, 0xc0000100", "wrmsr", "ud2");
user_code!(user_wbinvd, "wbinvd", "ud2");
user_code!(user_invlpg, "invlpg [rsp]", "ud2");
user_code!(user_out, "mov edx, 0x80", "out dx, al", "ud2");
user_code!(user_dr, "mov rax, dr7", "ud2");
user_code!(user_xsetbv, "xor ecx, ecx", "xsetbv", "ud2");

pub(crate) fn run() {
    user::load_new();
    // What the kernel may do with ports, user mode may not.
    assert_eq!(cpu::set_iopl(1), Ok(0));
    for (symbol, offset) in [
        (user_cli(), 0),
        (user_hlt(), 0),
        (user_cr0(), 0),
        (user_cr3(), 0),
        (user_clts(), 0),
        (user_rdmsr(), 5),
        (user_wrmsr(), 5),
        (user_wbinvd(), 0),
        (user_invlpg(), 0),
        (user_out(), 5),
        (user_dr(), 0),
    ] {
        let registers = user::registers(symbol);
        let frame = user::enter(&registers).frame;
        let code = user::code(symbol);
        assert_eq!((frame.vector, frame.error_code), (GP, 0), "at {code}");
        assert_eq!(frame.rip, registers.rip + offset, "at {code}");
    }
    // Either the processor has no XSETBV, or it is privileged.
    let vector = user::enter(&user::registers(user_xsetbv())).frame.vector;
    assert!([GP, UD].contains(&vector), "XSETBV is vector {vector}");
}
