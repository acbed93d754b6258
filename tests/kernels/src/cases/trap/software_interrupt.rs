//! `INT n` reaches a descriptor that allows the kernel's level, without an error code and after the
//! instruction; any other is vector 13 with the descriptor's number.

use super::super::prelude::*;

pub(crate) fn run() {
    let trap = probe!("int 0x23").map(|trap| trap.frame.error_code);
    if trap == Some(0x23 << 4 | 2) {
        skip!("the processor (QEMU's emulation, before version 8) gives INT n a wrong error code");
    }
    let allowed = [trap::info(0x21, 1), trap::info(0x22, 3)];
    assert_eq!(trap::set_table(&allowed), Ok(0));
    for (trap, vector) in [(probe!("int 0x21"), 0x21), (probe!("int 0x22"), 0x22)] {
        assert_eq!(trap::expect(trap, vector, 0).offset, 2);
    }
    let trap = probe!("nop", "int 0x23");
    assert_eq!(trap::expect(trap, GP, 0x23 << 3 | 2).offset, 1);
    // The vector of an exception: only the number's, not the exception's, frame has no error code.
    let entry = trap::info(GP as u8, 0);
    assert_eq!(trap::set_table(&[entry]), Ok(0));
    let trap = probe!("nop", "int 13");
    assert_eq!(trap::expect(trap, GP, 13 << 3 | 2).offset, 1);
}
