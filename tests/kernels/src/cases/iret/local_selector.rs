//! An iret to selectors of the local table goes there, though nobody has looked at that page of the table before, and
//! code from there is emulated like any other.

use super::super::prelude::*;
use crate::cpu;
use guest_abi::mmu::MmuextOp;

user_code!(user_invalid, "out 0x80, al", "ud2");

/// Present 64-bit code, and data, of level 3.
const CODE: u64 = 0x00af_fa00_0000_ffff;
const DATA: u64 = 0x00cf_f200_0000_ffff;

pub(crate) fn run() {
    let pages: [Frame; 2] = Frame::alloc_many();
    pages[0].write(5, CODE);
    pages[1].write(6, DATA);
    pages.into_iter().for_each(memory::make_readonly);
    let set = memory::mmuext_two(MmuextOp::SetLdt, pages[0].va().0, 1024);
    assert_eq!(set, Ok(0));
    assert_eq!(cpu::set_iopl(3), Ok(0));
    user::load_new();
    let registers = trap::Frame {
        cs: 5 << 3 | 7,
        ss: (512 + 6) << 3 | 7,
        ..user::registers(user_invalid())
    };
    let frame = user::enter(&registers).frame;
    assert_eq!((frame.vector, frame.rip), (UD, registers.rip + 2));
    assert_eq!((frame.cs & 0xffff, frame.ss), (registers.cs, registers.ss));
}
