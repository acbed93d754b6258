//! A local descriptor table works from the first touch of each of its pages, which then are no writable
//! memory.

use super::super::prelude::*;
use super::data;
use crate::memory::{KERNEL_RW, entry};
use guest_abi::mmu::MmuextOp;

pub(crate) fn run() {
    let pages: [Frame; 3] = Frame::alloc_many();
    for (number, page) in pages.into_iter().enumerate() {
        page.write(1, data((number as u64 + 1) * 0x1000, 3));
        memory::make_readonly(page);
    }
    let set = |entries: u64| memory::mmuext_two(MmuextOp::SetLdt, pages[0].va().0, entries);
    assert_eq!(set(3 * 512), Ok(0));
    for (number, page) in pages.into_iter().enumerate() {
        // Not touched yet, it is still plain memory.
        memory::make_writable(page);
        memory::make_readonly(page);
        assert_eq!(base_through(number), (number as u64 + 1) * 0x1000);
        let writable = entry(page.mfn(), KERNEL_RW);
        let outcome = memory::update_va_mapping(page.va(), writable, 2);
        assert_eq!(outcome, Err(Errno::EBUSY), "page {number} in use");
    }
    // Gone with the table.
    assert_eq!(set(0), Ok(0));
    for page in pages {
        memory::make_writable(page);
    }
    let trap = probe!("mov fs, {selector:e}"; selector = in(reg) 1 << 3 | 7);
    trap::expect(trap, GP, 1 << 3 | 4);
}

/// Loads entry 1 of a page of the table and returns its base.
fn base_through(page: usize) -> u64 {
    let base: u64;
    let trap = probe!(
        "mov fs, {selector:e}",
        "mov ecx, 0xc0000100",
        "rdmsr",
        "mov fs, {null:e}";
        selector = in(reg) (page * 512 + 1) << 3 | 7,
        null = in(reg) 0,
        out("rax") base,
        out("rdx") _,
        out("rcx") _,
    );
    assert_eq!(trap, None, "page {page}");
    base
}
