//! Stores into live page tables.

use super::*;
use crate::memory::{KERNEL_RW, SPARE, Tables, entry};
use core::arch::asm;
use guest_abi::vm_assist::{VmAssist, VmAssistCommand};

pub(super) fn run() {
    let assist = VmAssist::WritablePagetables.number();
    let outcome = hypercall!(VmAssist, VmAssistCommand::Enable.number(), assist);
    assert_eq!(outcome, Ok(0));
    // Apart from the tables that the mappings were measured with.
    let tables = Tables::hook(Vaddr(SPARE.0 + (1 << 39)));
    let pages: [Frame; 2] = Frame::alloc_many();
    let entries = pages.map(|page| entry(page.mfn(), KERNEL_RW));
    let at = tables.l1.va().0;
    assert_eq!(
        memory::set_entry(tables.l1.word_address(0), entries[0]),
        Ok(0)
    );
    measure(
        "emulated store of a page-table entry",
        |_| (),
        |round| {
            // SAFETY: no reference points into a frame of the pool.
            unsafe {
                asm!("mov [{at}], {value}", at = in(reg) at, value = in(reg) entries[(round + 1) % 2], options(nostack));
            }
        },
    );
    measure(
        "emulated exchange of a page-table entry",
        |_| (),
        |round| {
            // SAFETY: as above.
            unsafe {
                asm!("xchg [{at}], {value}", at = in(reg) at, value = inout(reg) entries[round % 2] => _, options(nostack));
            }
        },
    );
    measure(
        "emulated compare-and-exchange of a page-table entry",
        |round| {
            if round % 2 == 0 {
                assert_eq!(memory::set_entry(tables.l1.word_address(0), 0), Ok(0));
            }
        },
        |round| {
            let now = if round % 2 == 0 { 0 } else { tables.l1.read(0) };
            // SAFETY: as above.
            unsafe {
                asm!("lock cmpxchg [{at}], {value}", at = in(reg) at, value = in(reg) entries[round % 2], inout("rax") now => _, options(nostack));
            }
        },
    );
    assert_eq!(memory::set_entry(tables.l1.word_address(0), 0), Ok(0));
}
