//! 16-bit code runs, in segments of the global and of the local table; of what traps in it, a CPUID with its mark is
//! emulated, and what user mode may not do is the guest's own exception.

use super::super::prelude::*;
use super::Code16;
use crate::cpu;

user_code!(
    user_16,
    ".code16",
    "mov bx, 0x1234",
    "add bx, 0xedcd", // 0x10001
    "int3",
    ".code64",
);
user_code!(user_16_halt, ".code16", "hlt", ".code64");
user_code!(user_16_cr0, ".code16", "mov eax, cr0", ".code64");
user_code!(
    user_16_marked,
    ".code16",
    ".byte 0x0f, 0x0b, 0x78, 0x65, 0x6e", // the mark
    "cpuid",
    "int3",
    ".code64",
);

const LEAF: u32 = 0x4000_0000;

pub(crate) fn run() {
    let code = Code16::new(user_16());
    for selector in code.selectors() {
        let mut registers = code.registers(user_16(), selector);
        registers.rbx = 0xaaaa_0000;
        let frame = user::enter(&registers).frame;
        // Three bytes and four, and INT3 itself.
        assert_eq!((frame.vector, frame.rip), (BP, registers.rip + 8));
        assert_eq!(frame.cs, selector);
        assert_eq!(
            (frame.rbx as u32, frame.rflags & rflags::CF),
            (0xaaaa_0001, rflags::CF)
        );

        for symbol in [user_16_halt(), user_16_cr0()] {
            let registers = code.registers(symbol, selector);
            let frame = user::enter(&registers).frame;
            assert_eq!((frame.vector, frame.error_code), (GP, 0));
            assert_eq!((frame.rip, frame.cs), (registers.rip, selector));
        }

        let mut registers = code.registers(user_16_marked(), selector);
        registers.rax = LEAF.into();
        let frame = user::enter(&registers).frame;
        assert_eq!((frame.vector, frame.rip), (BP, registers.rip + 8));
        let expected = cpu::cpuid(LEAF, 0).map(u64::from);
        assert_eq!([frame.rax, frame.rbx, frame.rcx, frame.rdx], expected);
    }
}
