//! Without a callback SYSCALL in user mode is an undefined instruction.

use super::super::prelude::*;
use guest_abi::callback_op::CallbackType;
use guest_abi::callback_op::{CallbackOp, CallbackUnregister};

user_code!(syscall_unheard, "nop", "syscall", "ud2");

pub(crate) fn run() {
    user::load_new();
    let unregister = CallbackUnregister {
        callback_type: CallbackType::Syscall.number(),
        unused: 0,
    };
    // Unregistering is not offered for it: an address of zero is how it is done.
    let _ = hypercall!(CallbackOp, CallbackOp::Unregister.number(), &unregister);
    let outcome = trap::register_callback(
        CallbackType::Syscall,
        guest_abi::callback_op::CallbackFlags::empty(),
        Vaddr(0),
    );
    assert_eq!(outcome, Ok(0));
    let registers = user::registers(syscall_unheard());
    let trap = user::enter(&registers);
    assert_eq!(trap.frame.vector, UD);
    assert_eq!(trap.frame.rip, registers.rip + 1, "RIP of the instruction");
}
