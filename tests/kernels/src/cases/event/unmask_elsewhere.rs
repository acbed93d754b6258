//! A port of another vCPU is unmasked by hypercall, and the event that waited arrives there.

use super::super::prelude::*;

pub(crate) fn run() {
    smp::need(2);
    let port = event::bind_ipi(VcpuId(1));
    event::mask(port);
    smp::start(VcpuId(1), |_| {
        event::unmask_upcalls();
        loop {
            let _ = hypercall!(SchedOp, 0u64);
        }
    });
    for round in 1..=20 {
        event::mask(port);
        assert_eq!(event::send(port), Ok(0));
        let _ = hypercall!(SchedOp, 0u64);
        assert_eq!(event::count(port), round - 1, "masked");
        assert_eq!(event::unmask(port), Ok(0));
        smp::wait_until("the event", || event::count(port) == round);
        assert_eq!(event::last_vcpu(port), VcpuId(1));
    }
}
