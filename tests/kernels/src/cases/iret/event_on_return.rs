//! An iret that unmasks events while one waits delivers it before the next instruction.

use super::super::prelude::*;

user_code!(user_first, "ud2");

pub(crate) fn run() {
    user::load_new();
    let port = event::bind_ipi(VcpuId(0));
    let mut registers = user::registers(user_first());
    for round in 1..=3 {
        event::mask_upcalls();
        assert_eq!(event::send(port), Ok(0));
        assert_eq!(event::count(port), round - 1);
        let frame = user::enter(&registers).frame;
        assert_eq!(frame.vector, UD);
        assert_eq!(event::count(port), round);
    }
    // With events still masked it waits on.
    event::mask_upcalls();
    registers.rflags &= !rflags::IF;
    assert_eq!(event::send(port), Ok(0));
    assert_eq!(user::enter(&registers).frame.vector, UD);
    assert_eq!(event::count(port), 3);
    event::unmask_upcalls();
    assert_eq!(event::count(port), 4);
}
