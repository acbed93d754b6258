//! Callbacks are registered by type; only that of non-maskable interrupts is taken away again; types and addresses that are
//! none are refused.

use super::super::prelude::*;
use guest_abi::callback_op::{
    CallbackFlags, CallbackOp, CallbackRegister, CallbackType, CallbackUnregister,
};

pub(crate) fn run() {
    for callback_type in [
        CallbackType::Event,
        CallbackType::Failsafe,
        CallbackType::Syscall,
        CallbackType::Sysenter,
        CallbackType::Syscall32,
        CallbackType::Nmi,
    ] {
        let register =
            |address| trap::register_callback(callback_type, CallbackFlags::MASK_EVENTS, address);
        assert_eq!(
            register(Vaddr(NON_CANONICAL)),
            Err(Errno::EINVAL),
            "{callback_type:?}"
        );
        assert_eq!(
            register(trap::stub(trap::EVENT)),
            Ok(0),
            "{callback_type:?}"
        );
    }
    for (callback_type, answer) in [
        (CallbackType::Event, Err(Errno::EINVAL)),
        (CallbackType::Failsafe, Err(Errno::EINVAL)),
        (CallbackType::Syscall, Err(Errno::EINVAL)),
        (CallbackType::Sysenter, Err(Errno::EINVAL)),
        (CallbackType::Syscall32, Err(Errno::EINVAL)),
        (CallbackType::Nmi, Ok(0)),
    ] {
        let mut unregister = CallbackUnregister::new_zeroed();
        unregister.callback_type = callback_type.number();
        let outcome = hypercall!(CallbackOp, CallbackOp::Unregister.number(), &unregister);
        assert_eq!(outcome, answer, "{callback_type:?} is taken away");
    }
    let mut register = CallbackRegister::new_zeroed();
    for number in [6, 8, 100, u16::MAX] {
        register.callback_type = number;
        let outcome = hypercall!(CallbackOp, CallbackOp::Register.number(), &register);
        assert_eq!(outcome, Err(Errno::ENOSYS), "type {number}");
    }
}
