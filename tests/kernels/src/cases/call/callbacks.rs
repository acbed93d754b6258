//! Callbacks are registered by type; types and addresses that are none are refused.

use super::super::prelude::*;
use guest_abi::callback_op::{CallbackFlags, CallbackOp, CallbackRegister, CallbackType};

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
    let mut register = CallbackRegister::new_zeroed();
    for number in [6, 8, 100, u16::MAX] {
        register.callback_type = number;
        let outcome = hypercall!(CallbackOp, CallbackOp::Register.number(), &register);
        assert_eq!(outcome, Err(Errno::ENOSYS), "type {number}");
    }
}
