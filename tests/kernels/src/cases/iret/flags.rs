//! An iret can't raise the I/O privilege level, mask interrupts or leave long mode by its flags.

use super::super::prelude::*;

user_code!(user_flags, "pushfq", "pop rbx", "syscall");

const VM: u64 = 1 << 17;

pub(crate) fn run() {
    user::load_new();
    let mut registers = user::registers(user_flags());
    for bits in [rflags::IOPL, VM, 0, rflags::IOPL | VM | rflags::DF] {
        registers.rflags = rflags::ALWAYS | bits;
        let frame = user::enter(&registers).frame;
        assert_eq!(frame.vector, trap::SYSCALL);
        assert_eq!(
            frame.rbx & (rflags::IF | rflags::IOPL | VM),
            rflags::IF,
            "{bits:#x}"
        );
        assert_eq!(frame.rbx & rflags::DF, bits & rflags::DF);
        // The virtual flag is the one that the kernel gave.
        assert_eq!(frame.rflags & rflags::IF, 0);
    }
}
