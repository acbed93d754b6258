//! A breakpoint that the kernel has set stops user mode.

use super::super::prelude::*;

user_code!(user_store, "mov [rdi], rax", "nop", "syscall");

pub(crate) fn run() {
    user::load_new();
    assert_eq!(hypercall!(SetDebugreg, 3u64, user::DATA.0 + 16), Ok(0));
    // The fourth register: writes, eight bytes.
    assert_eq!(
        hypercall!(SetDebugreg, 7u64, 0b1001u64 << 28 | 1 << 6),
        Ok(0)
    );
    let mut registers = user::registers(user_store());
    registers.rdi = user::DATA.0;
    assert_eq!(user::enter(&registers).frame.vector, trap::SYSCALL);
    registers.rdi = user::DATA.0 + 16;
    let frame = user::enter(&registers).frame;
    assert_eq!((frame.vector, frame.rip), (DB, registers.rip + 3));
    assert_eq!(hypercall!(GetDebugreg, 6u64).map(|dr6| dr6 & 0xf), Ok(8));
}
