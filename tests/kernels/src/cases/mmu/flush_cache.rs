//! The first domain, which has device memory, may flush the caches.

use super::super::prelude::*;
use guest_abi::mmu::MmuextOp;

pub(crate) fn run() {
    assert_eq!(memory::mmuext_two(MmuextOp::FlushCache, 0, 0), Ok(0));
    assert_eq!(memory::mmuext_two(MmuextOp::FlushCacheGlobal, 0, 0), Ok(0));
}
