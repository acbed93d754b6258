//! CLI and STI are the kernel's if its I/O privilege level allows it, and then do nothing: events are
//! masked elsewhere, and the flag always reads as set.

use super::super::prelude::*;
use crate::cpu;

pub(crate) fn run() {
    event::unmask_upcalls();
    assert_eq!(cpu::set_iopl(0), Ok(0));
    trap::expect(probe!("cli"), GP, 0);
    trap::expect(probe!("sti"), GP, 0);
    assert_eq!(cpu::set_iopl(1), Ok(0));
    assert_eq!(probe!("cli"), None);
    assert_eq!(trap::current_rflags() & rflags::IF, rflags::IF);
    assert_eq!(event::vcpu_info().upcall_mask(), 0);
    event::mask_upcalls();
    assert_eq!(probe!("sti"), None);
    assert_eq!(event::vcpu_info().upcall_mask(), 1);
    // POPF leaves the flag alone, at any level.
    for iopl in [0, 1, 3] {
        assert_eq!(cpu::set_iopl(iopl), Ok(0));
        assert_eq!(probe!("push 2", "popfq"), None);
        let flags = trap::current_rflags();
        assert_eq!(flags & (rflags::IF | rflags::IOPL), rflags::IF);
    }
    assert_eq!(cpu::set_iopl(4), Err(Errno::EINVAL));
}
