//! `INT n` in user mode reaches only descriptors of privilege level 3, but for `INT 0x80`, which reaches its
//! descriptor if there is one.

use super::super::prelude::*;

user_code!(user_int21, "int 0x21", "ud2");
user_code!(user_int22, "int 0x22", "ud2");
user_code!(user_int80, "int 0x80", "ud2");

pub(crate) fn run() {
    user::load_new();
    // INT 0x80 has a way of its own, which no emulation gets wrong.
    let registers = user::registers(user_int80());
    for dpl in [0, 3] {
        assert_eq!(trap::set_table(&[trap::info(0x80, dpl)]), Ok(0));
        let frame = user::enter(&registers).frame;
        assert_eq!((frame.vector, frame.error_code), (0x80, 0));
        assert_eq!(frame.rip, registers.rip + 2);
    }
    assert_eq!(hypercall!(SetTrapTable, 0u64), Ok(0));
    assert_eq!(trap::set_table(&trap::table()[..0x80]), Ok(0));
    let frame = user::enter(&registers).frame;
    assert_eq!((frame.vector, frame.error_code), (GP, 0x80 << 3 | 2));
    assert_eq!(frame.rip, registers.rip);

    let registers = user::registers(user_int21());
    let error_code = user::enter(&registers).frame.error_code;
    if error_code == 0x21 << 4 | 2 {
        skip!("the processor (QEMU's emulation, before version 8) gives INT n a wrong error code");
    }
    assert_eq!(error_code, 0x21 << 3 | 2);
    let table = [trap::info(0x21, 3), trap::info(0x22, 1)];
    assert_eq!(trap::set_table(&table), Ok(0));
    let frame = user::enter(&registers).frame;
    assert_eq!((frame.vector, frame.rip), (0x21, registers.rip + 2));
    let registers = user::registers(user_int22());
    let frame = user::enter(&registers).frame;
    assert_eq!((frame.vector, frame.error_code), (GP, 0x22 << 3 | 2));
    assert_eq!(frame.rip, registers.rip);
}
