//! A page of the local table that is writable, or holds a descriptor that no guest may have, is not used.

use super::super::prelude::*;
use super::data;
use guest_abi::mmu::MmuextOp;

pub(crate) fn run() {
    let page = Frame::alloc();
    page.write(1, data(0x1000, 3));
    assert_eq!(
        memory::mmuext_two(MmuextOp::SetLdt, page.va().0, 512),
        Ok(0)
    );
    // Still writable.
    assert!(load().is_some(), "a writable page");
    // With a gate in it.
    page.write(7, 0x0000_ee00_0000_0000);
    memory::make_readonly(page);
    assert!(load().is_some(), "a page with a gate");
    // Put right.
    memory::make_writable(page);
    page.write(7, 0);
    memory::make_readonly(page);
    assert_eq!(load(), None);
}

fn load() -> Option<trap::Trap> {
    probe!("mov fs, {selector:e}", "mov fs, {null:e}"; selector = in(reg) 1 << 3 | 7, null = in(reg) 0)
}
