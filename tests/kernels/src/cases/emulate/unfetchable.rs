//! An instruction to be emulated that reaches into a page that is not there is a page fault at that page.

use super::super::prelude::*;

pub(crate) fn run() {
    let [first, second] = Frame::alloc_many();
    // The last byte of the first page is the first of WBINVD.
    first.write(511, 0x0f << 56);
    assert_eq!(memory::update_va_mapping(second.va(), 0, 2), Ok(0));
    let start = second.va().0 - 1;
    let trap = probe!("jmp {start}"; start = in(reg) start);
    let trap = trap::expect(trap, PF, PF_FETCH);
    assert_eq!((trap.cr2, trap.frame.rip), (second.va().0, start));
}
