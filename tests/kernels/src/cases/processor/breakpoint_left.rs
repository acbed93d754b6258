//! A breakpoint that a vCPU has set and taken off again tells another one on the same processor nothing, as it would in DR6
//! when that one steps to its address: processors compare addresses that are not enabled, too.

use super::super::prelude::*;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

static ADDRESS: AtomicU64 = AtomicU64::new(0);
static IS_LEFT: AtomicBool = AtomicBool::new(false);
static IS_OVER: AtomicBool = AtomicBool::new(false);
static IS_DONE: AtomicBool = AtomicBool::new(false);

/// Sets a breakpoint and takes it off.
fn leave(_: VcpuId) {
    assert_eq!(smp::pin_override(0), Ok(0));
    let at = ADDRESS.load(SeqCst);
    assert_eq!(hypercall!(SetDebugreg, 0u64, at), Ok(0));
    assert_eq!(hypercall!(SetDebugreg, 7u64, 1u64), Ok(0));
    assert_eq!(hypercall!(SetDebugreg, 7u64, 0u64), Ok(0));
    IS_LEFT.store(true, SeqCst);
    smp::wait_until("the other vCPU", || IS_OVER.load(SeqCst));
    assert_eq!(hypercall!(GetDebugreg, 0u64), Ok(at));
    IS_DONE.store(true, SeqCst);
}

/// Steps to `at` and says which breakpoints DR6 tells of.
fn step_to(at: u64) -> u64 {
    assert_eq!(hypercall!(SetDebugreg, 6u64, 0u64), Ok(0));
    let trap = probe!(
        "pushfq",
        "or qword ptr [rsp], {tf}",
        "popfq",
        "call {at}";
        at = in(reg) at,
        tf = const rflags::TF,
    );
    let trap = trap::expect(trap, DB, 0);
    assert_eq!(trap.frame.rip, at);
    hypercall!(GetDebugreg, 6u64).expect("DR6") & 0xf
}

pub(crate) fn run() {
    smp::need(2);
    let code = Frame::alloc();
    code.write(0, 0xc390_9090); // nop, nop, nop, ret
    let at = code.va().0;
    ADDRESS.store(at, SeqCst);
    assert_eq!(smp::pin_override(0), Ok(0));
    assert_eq!(step_to(at), 0);
    smp::start(VcpuId(1), leave);
    smp::wait_until("a breakpoint", || IS_LEFT.load(SeqCst));
    assert_eq!(step_to(at), 0, "a breakpoint of another vCPU");
    IS_OVER.store(true, SeqCst);
    smp::wait_until("the other vCPU", || IS_DONE.load(SeqCst));
}
