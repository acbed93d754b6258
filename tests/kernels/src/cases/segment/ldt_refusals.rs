//! The local table starts at a page and has no more entries than the processor knows.

use super::super::prelude::*;
use guest_abi::mmu::MmuextOp;

pub(crate) fn run() {
    let page = Frame::alloc();
    let set = |base: u64, entries: u64| memory::mmuext_two(MmuextOp::SetLdt, base, entries);
    assert_eq!(set(page.va().0 + 8, 16), Err(Errno::EINVAL));
    assert_eq!(set(page.va().0, 8193), Err(Errno::EINVAL));
    assert_eq!(set(page.va().0, 8192), Ok(0));
    assert_eq!(set(0, 0), Ok(0));
}
