//! Loading a selector whose descriptor is not present, in user mode, is vector 11 with the selector as error
//! code; in SS it is vector 12.

use super::super::prelude::*;

user_code!(user_load_ds, "mov ds, eax", "ud2");
user_code!(user_load_ss, "mov ss, eax", "ud2");

pub(crate) fn run() {
    user::load_new();
    let table = Frame::alloc();
    // Data, writable, privilege level 3, not present.
    table.write(2, 0x00cf_7200_0000_ffff);
    memory::make_readonly(table);
    assert_eq!(hypercall!(SetGdt, &[table.mfn()][..], 16u64), Ok(0));
    for (code, vector) in [(user_load_ds(), NP), (user_load_ss(), SS)] {
        let mut registers = user::registers(code);
        registers.rax = 2 << 3 | 3;
        let frame = user::enter(&registers).frame;
        assert_eq!((frame.vector, frame.error_code), (vector, 2 << 3));
        assert_eq!(frame.rip, registers.rip, "the instruction itself");
        assert!(frame.is_user());
    }
}
