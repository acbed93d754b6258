//! The stack for entries from user mode is the one set last; its selector is raised to the guest's level.

use super::super::prelude::*;
use super::{data, load_gdt};
use crate::cpu;

user_code!(user_entry, "syscall");

pub(crate) fn run() {
    user::load_new();
    let table = Frame::alloc();
    table.write(5, data(0, 0));
    memory::make_readonly(table);
    assert_eq!(load_gdt(table.mfn()), Ok(0));
    let registers = user::registers(user_entry());
    let end = cpu::entry_stack_end(VcpuId(0));
    for stack in [end, end - 0x1000, end - 0x1008, end - 0x100f] {
        let trap = user::enter_with_stack(&registers, stack);
        assert_eq!(trap.handler_rsp, (stack & !15) - 7 * 8);
    }
    for selector in [0xe02bu64, 0xe028, 5 << 3, 0] {
        assert_eq!(
            hypercall!(StackSwitch, selector, end),
            Ok(0),
            "{selector:#x}"
        );
    }
}
