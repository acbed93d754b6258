//! IN and OUT in all widths, by immediate and by register, work at the level that the kernel has set, and
//! fault below it; user mode needs level 3.

use super::super::prelude::*;
use crate::cpu;

user_code!(user_out80, "out 0x80, al", "syscall");

pub(crate) fn run() {
    user::load_new();
    assert_eq!(cpu::set_iopl(0), Ok(0));
    trap::expect(probe!("out 0x80, al"; in("al") 0u8), GP, 0);
    trap::expect(probe!("in al, dx"; out("al") _, in("dx") 0x80u16), GP, 0);

    assert_eq!(cpu::set_iopl(1), Ok(0));
    assert_eq!(probe!("out 0x80, al"; in("al") 0u8), None);
    assert_eq!(probe!("out dx, ax"; in("ax") 0u16, in("dx") 0x80u16), None);
    assert_eq!(probe!("out dx, eax"; in("eax") 0, in("dx") 0x80u16), None);
    // Narrow reads leave the rest of the register alone; 32-bit ones clear the upper half.
    let mut value = u64::MAX;
    assert_eq!(
        probe!("in al, dx"; inout("rax") value, in("dx") 0x5678u16),
        None
    );
    assert_eq!(value, u64::MAX, "a port that nobody answers");
    value &= !0xffff;
    assert_eq!(
        probe!("in ax, dx"; inout("rax") value, in("dx") 0x5678u16),
        None
    );
    assert_eq!(value, u64::MAX);
    assert_eq!(
        probe!("in eax, dx"; inout("rax") value, in("dx") 0x5678u16),
        None
    );
    assert_eq!(value, 0xffff_ffff);
    assert_eq!(probe!("in al, 0x71"; inout("rax") value), None);
    assert_eq!(value & !0xff, 0xffff_ff00);

    let registers = user::registers(user_out80());
    let frame = user::enter(&registers).frame;
    assert_eq!((frame.vector, frame.error_code), (GP, 0));
    assert_eq!(cpu::set_iopl(3), Ok(0));
    assert_eq!(user::enter(&registers).frame.vector, trap::SYSCALL);
}
