//! No event is lost, whenever it comes while another vCPU masks and unmasks upcalls and the port.

use super::super::prelude::*;
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};

static PORT: AtomicU32 = AtomicU32::new(0);

fn wave(_: VcpuId) {
    let port = Port(PORT.load(SeqCst));
    loop {
        event::unmask_upcalls();
        event::mask_upcalls();
        event::mask(port);
        event::unmask_upcalls();
        assert_eq!(event::unmask(port), Ok(0));
        let _ = hypercall!(SchedOp, 0u64);
    }
}

pub(crate) fn run() {
    smp::need(2);
    let port = event::bind_ipi(VcpuId(1));
    PORT.store(port.0, SeqCst);
    smp::start(VcpuId(1), wave);
    for round in 1..=1000 {
        assert_eq!(event::send(port), Ok(0));
        smp::wait_until("the event", || event::count(port) == round);
        assert!(!event::is_pending(port));
    }
}
