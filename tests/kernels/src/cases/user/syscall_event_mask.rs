//! Whether a system call masks events is the callback's choice.

use super::super::prelude::*;
use guest_abi::callback_op::{CallbackFlags, CallbackType};

user_code!(syscall_mask, "syscall", "ud2");

pub(crate) fn run() {
    user::load_new();
    let registers = user::registers(syscall_mask());
    for (flags, masked) in [(CallbackFlags::empty(), 0), (CallbackFlags::MASK_EVENTS, 1)] {
        let outcome =
            trap::register_callback(CallbackType::Syscall, flags, trap::stub(trap::SYSCALL));
        assert_eq!(outcome, Ok(0));
        let trap = user::enter(&registers);
        assert_eq!(trap.frame.vector, trap::SYSCALL);
        assert_eq!(trap.upcall_mask, masked, "{flags:?}");
        assert_eq!(
            trap.frame.rflags & rflags::IF,
            rflags::IF,
            "IF in the frame"
        );
        assert_eq!(trap.frame.cs >> 32, 0, "mask in the frame");
    }
}
