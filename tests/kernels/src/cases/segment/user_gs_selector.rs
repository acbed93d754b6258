//! The user's GS selector is loaded without a change of the kernel's base; one that can't be loaded is
//! null, and no error.

use super::super::prelude::*;
use super::{data, load_gdt};
use crate::cpu;
use guest_abi::segment::SegmentBase;

user_code!(user_gs, "mov ebx, gs", "syscall");

pub(crate) fn run() {
    user::load_new();
    let table = Frame::alloc();
    table.write(5, data(0x48_0000, 3));
    memory::make_readonly(table);
    assert_eq!(load_gdt(table.mfn()), Ok(0));
    let own = core::ptr::from_ref(cpu::this()) as u64;
    let set = |selector: u64| {
        let outcome = hypercall!(
            SetSegmentBase,
            SegmentBase::GsUserSelector.number(),
            selector
        );
        assert_eq!(outcome, Ok(0), "{selector:#x}");
        assert_eq!(cpu::read_msr(0xc000_0101), Some(own));
        user::enter(&user::registers(user_gs())).frame.rbx
    };
    assert_eq!(set(5 << 3 | 3), 5 << 3 | 3);
    assert_eq!(cpu::read_msr(0xc000_0102), Some(0x48_0000), "its base");
    // Not present, beyond the table, the hypervisor's.
    for selector in [6 << 3 | 3u64, 0x3333, 0xe00b] {
        assert_eq!(set(selector) & !3, 0, "{selector:#x}");
    }
}
