//! INT 0x80 in 32-bit user code enters the kernel with that code's selector, and the kernel returns to it.

use super::super::prelude::*;
use guest_abi::segment::FLAT_RING3_CS32;
use guest_abi::trap::TrapFlags;

user_code!(user_int80_32, ".code32", "int 0x80", "ud2", ".code64");

pub(crate) fn run() {
    user::load_new();
    let mut entry = trap::info(0x80, 3);
    entry.flags |= TrapFlags::MASK_EVENTS;
    assert_eq!(trap::set_table(&[entry]), Ok(0));
    let mut registers = user::registers32(user_int80_32());
    registers.rax = 20;
    registers.rbx = 0x8765_4321;
    let trap = user::enter(&registers);
    let expected = trap::Frame {
        vector: 0x80,
        rip: registers.rip + 2,
        cs: u64::from(FLAT_RING3_CS32),
        ..registers
    };
    assert_eq!(trap.frame, expected);
    assert_eq!(trap.upcall_mask, 1);
    // Back into the same code, which goes on behind the instruction.
    let again = user::enter(&trap.frame);
    assert_eq!(
        (again.frame.vector, again.frame.rip),
        (UD, registers.rip + 2)
    );
    assert_eq!(again.frame.cs, u64::from(FLAT_RING3_CS32));
}
