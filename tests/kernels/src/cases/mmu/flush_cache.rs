//! The first domain, which has device memory, may flush the caches: of one processor, and of all of them, also when several
//! vCPUs want it at once.

use super::super::prelude::*;
use core::sync::atomic::{AtomicU32, Ordering};
use guest_abi::mmu::MmuextOp;

const TIMES: u32 = 20;

static DONE: AtomicU32 = AtomicU32::new(0);

pub(crate) fn run() {
    let frame = Frame::alloc();
    frame.write(0, 0x1234);
    assert_eq!(memory::mmuext_two(MmuextOp::FlushCache, 0, 0), Ok(0));
    assert_eq!(memory::mmuext_two(MmuextOp::FlushCacheGlobal, 0, 0), Ok(0));
    assert_eq!(frame.read(0), 0x1234);
    for vcpu in 1..smp::nr_vcpus() {
        smp::start(VcpuId(vcpu), flush_often);
    }
    flush_often(VcpuId(0));
    smp::wait_until("all have flushed", || {
        DONE.load(Ordering::Acquire) == smp::nr_vcpus()
    });
}

fn flush_often(_: VcpuId) {
    for _ in 0..TIMES {
        assert_eq!(memory::mmuext_two(MmuextOp::FlushCacheGlobal, 0, 0), Ok(0));
        assert_eq!(memory::mmuext_two(MmuextOp::TlbFlushAll, 0, 0), Ok(0));
    }
    DONE.fetch_add(1, Ordering::Release);
}
