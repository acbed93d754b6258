//! Events that come while upcalls are being masked and unmasked are all taken.

use super::super::prelude::*;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

const EVENTS: u32 = 400;

static PORT: AtomicU32 = AtomicU32::new(0);
static SENT: AtomicU32 = AtomicU32::new(0);
static IS_OVER: AtomicBool = AtomicBool::new(false);

/// Sends the next event when the one before has been taken.
fn sender(_: VcpuId) {
    let port = Port(PORT.load(SeqCst));
    for number in 1..=EVENTS {
        SENT.store(number, SeqCst);
        assert_eq!(event::send(port), Ok(0));
        smp::wait_until("an event to be taken", || event::count(port) >= number);
    }
    IS_OVER.store(true, SeqCst);
}

pub(crate) fn run() {
    smp::need(2);
    let port = event::bind_ipi(VcpuId(0));
    PORT.store(port.0, SeqCst);
    event::unmask_upcalls();
    smp::start(VcpuId(1), sender);
    let mut turns = 0u64;
    while !IS_OVER.load(SeqCst) {
        event::mask_upcalls();
        let before = event::count(port);
        for _ in 0..turns % 50 {
            core::hint::spin_loop();
        }
        assert_eq!(
            event::count(port),
            before,
            "an upcall while they are masked"
        );
        event::unmask_upcalls();
        turns += 1;
        if turns.is_multiple_of(64) {
            let _ = hypercall!(SchedOp, guest_abi::sched_op::SchedOp::Yield.number());
        }
    }
    assert_eq!(event::count(port), EVENTS);
}
