//! Through which window a hypervisor shows a processor the pages of a local table is no guest's business: reading
//! there is a page fault, whether a page is shown or not, and leaves no trace on the table's pages.

use super::super::prelude::*;
use super::data;
use guest_abi::mmu::MmuextOp;

/// Where the first vCPU's local table is in this hypervisor and in the reference.
const WINDOWS: [u64; 2] = [0xffff_8080_0001_0000, 0xffff_8200_0001_0000];

pub(crate) fn run() {
    let page = Frame::alloc();
    page.write(1, data(0x1000, 3));
    memory::make_readonly(page);
    let set = |entries: u64| memory::mmuext_two(MmuextOp::SetLdt, page.va().0, entries);
    for is_shown in [false, true] {
        assert_eq!(set(512), Ok(0));
        if is_shown {
            let load = probe!("mov fs, {first:e}", "mov fs, {null:e}"; first = in(reg) 1 << 3 | 7, null = in(reg) 0);
            assert_eq!(load, None);
        }
        for at in WINDOWS {
            for _ in 0..3 {
                let trap = probe!("mov {value}, [{at}]"; at = in(reg) at, value = out(reg) _);
                let Some(trap) = trap else {
                    panic!("{at:#x} can be read");
                };
                assert_eq!((trap.frame.vector, trap.cr2), (PF, at));
            }
        }
        assert_eq!(set(0), Ok(0));
        memory::make_writable(page);
        memory::make_readonly(page);
    }
}
