//! SYSENTER in user mode, on processors that have it in long mode, enters the kernel at a callback of its
//! own with a frame that says nothing of where it came from; elsewhere it is no instruction.

use super::super::prelude::*;
use crate::cpu;
use guest_abi::callback_op::{CallbackFlags, CallbackType};
use guest_abi::segment::FLAT_RING3_SS;

user_code!(user_sysenter, "nop", "sysenter", "ud2");

pub(crate) fn run() {
    user::load_new();
    let registers = user::registers(user_sysenter());
    let trap = user::enter(&registers);
    if cpu::is_amd() {
        assert_eq!(trap.frame.vector, UD);
        assert_eq!(trap.frame.rip, registers.rip + 1);
        return;
    }
    let frame = trap.frame;
    assert_eq!(frame.vector, trap::SYSENTER);
    assert_eq!((frame.rip, frame.rsp), (0, 0));
    assert_eq!(frame.cs & 0xffff, 3);
    assert_eq!(frame.ss, u64::from(FLAT_RING3_SS));
    assert_eq!(frame.rflags & rflags::IF, rflags::IF);

    // The processor does not clear the trap flag here; the hypervisor is not stopped by it.
    let mut stepping = registers;
    stepping.rflags |= rflags::TF;
    let trap = user::enter(&stepping);
    assert_eq!(trap.frame.vector, DB, "after the NOP");
    stepping.rip += 1;
    let trap = user::enter(&stepping);
    assert_eq!(trap.frame.vector, trap::SYSENTER);
    assert_eq!(trap.handler_rflags & rflags::TF, 0);

    let outcome = trap::register_callback(CallbackType::Sysenter, CallbackFlags::empty(), Vaddr(0));
    assert_eq!(outcome, Ok(0));
    let trap = user::enter(&registers);
    assert_eq!((trap.frame.vector, trap.frame.error_code), (GP, 0));
}
