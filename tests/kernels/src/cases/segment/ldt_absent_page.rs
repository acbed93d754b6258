//! A descriptor in a page of the local table that is not mapped is a page fault at the descriptor's own
//! address, as on a bare machine.

use super::super::prelude::*;
use guest_abi::mmu::MmuextOp;

pub(crate) fn run() {
    let pages: [Frame; 2] = Frame::alloc_many();
    memory::make_readonly(pages[0]);
    assert_eq!(memory::update_va_mapping(pages[1].va(), 0, 2), Ok(0));
    assert_eq!(
        memory::mmuext_two(MmuextOp::SetLdt, pages[0].va().0, 1024),
        Ok(0)
    );
    let selector = (512 + 3) << 3 | 7u64;
    let trap = probe!("mov fs, {selector:e}"; selector = in(reg) selector);
    let Some(trap) = trap else {
        panic!("it could be loaded");
    };
    assert_eq!(trap.frame.vector, PF);
    assert_eq!(trap.cr2, pages[1].va().0 + 3 * 8);
    assert_eq!(trap.offset, 0);
    // Once it is there it works.
    let entry = memory::entry(pages[1].mfn(), memory::KERNEL_RO);
    pages[0].pfn();
    assert_eq!(memory::update_va_mapping(pages[1].va(), entry, 2), Ok(0));
    let trap = probe!("mov fs, {selector:e}"; selector = in(reg) selector);
    // An empty descriptor: no page fault any more, but nothing to load either.
    trap::expect(trap, GP, selector & !3);
}
