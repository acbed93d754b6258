//! In user mode SYSCALL is never a hypercall, whatever its registers hold: not even to end the domain.

use super::super::prelude::*;
use guest_abi::hypercall::Hypercall;

user_code!(user_hypercall, "syscall", "ud2");

pub(crate) fn run() {
    let space = user::load_new();
    let mut registers = user::registers(user_hypercall());
    for (number, rdi) in [
        (Hypercall::SchedOp, 2), // shutdown
        (Hypercall::Iret, 0),
        (Hypercall::Version, 0),
        (Hypercall::SetTrapTable, 0),
    ] {
        registers.rax = number.number();
        (registers.rdi, registers.rsi) = (rdi, user::DATA.0);
        let frame = user::enter(&registers).frame;
        assert_eq!((frame.vector, frame.rax), (trap::SYSCALL, number.number()));
        assert_eq!(frame.rip, registers.rip + 2);
    }
    assert_eq!(space.data.read(0), 0);
}
