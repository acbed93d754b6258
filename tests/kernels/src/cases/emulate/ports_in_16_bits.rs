//! Instructions for ports are not emulated in 16-bit code, whatever the level: the exception is the guest's.

use super::super::prelude::*;
use super::Code16;
use crate::cpu;

user_code!(user_16_out, ".code16", "out 0x80, al", "int3", ".code64");
user_code!(user_16_in, ".code16", "in ax, dx", "int3", ".code64");

pub(crate) fn run() {
    let code = Code16::new(user_16_out());
    assert_eq!(cpu::set_iopl(3), Ok(0));
    for selector in code.selectors() {
        for symbol in [user_16_out(), user_16_in()] {
            let mut registers = code.registers(symbol, selector);
            (registers.rax, registers.rdx) = (0x1_1111, 0x5678);
            let frame = user::enter(&registers).frame;
            assert_eq!((frame.vector, frame.error_code), (GP, 0));
            assert_eq!((frame.rip, frame.rax), (registers.rip, registers.rax));
        }
    }
}
