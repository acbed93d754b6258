//! Breakpoints are each vCPU's own: they don't stop another one on the same processor, and are still there
//! afterwards.

use super::super::prelude::*;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

static WATCHED: AtomicU64 = AtomicU64::new(0);
static IS_OVER: AtomicBool = AtomicBool::new(false);
static IS_DONE: AtomicBool = AtomicBool::new(false);

/// Writes to the other vCPU's watched word, and must not be stopped.
fn write(_: VcpuId) {
    let at = WATCHED.load(SeqCst);
    assert_eq!(hypercall!(GetDebugreg, 0u64), Ok(0));
    assert_eq!(hypercall!(GetDebugreg, 7u64), Ok(0x400));
    while !IS_OVER.load(SeqCst) {
        assert_eq!(probe!("mov byte ptr [{at}], 1"; at = in(reg) at), None);
        let _ = hypercall!(SchedOp, 0u64);
    }
    IS_DONE.store(true, SeqCst);
}

pub(crate) fn run() {
    smp::need(2);
    let frame = Frame::alloc();
    WATCHED.store(frame.va().0, SeqCst);
    assert_eq!(hypercall!(SetDebugreg, 0u64, frame.va().0), Ok(0));
    assert_eq!(hypercall!(SetDebugreg, 7u64, 0b1001u64 << 16 | 1), Ok(0));
    smp::start(VcpuId(1), write);
    for _ in 0..100 {
        let _ = hypercall!(SchedOp, 0u64);
        let trap = probe!("mov byte ptr [{at}], 2", "nop"; at = in(reg) frame.va().0);
        trap::expect(trap, DB, 0);
        assert_eq!(hypercall!(GetDebugreg, 0u64), Ok(frame.va().0));
    }
    IS_OVER.store(true, SeqCst);
    smp::wait_until("the other vCPU", || IS_DONE.load(SeqCst));
}
