//! A vCPU interrupts another one, or itself, by a port of its own.

use super::super::prelude::*;
use guest_abi::event_channel::{BindIpi, EventChannelOp};

pub(crate) fn run() {
    smp::need(2);
    event::unmask_upcalls();
    let own = event::bind_ipi(VcpuId(0));
    let other = event::bind_ipi(VcpuId(1));
    assert_ne!(own, other);
    for round in 1..=3 {
        assert_eq!(event::send(own), Ok(0));
        assert_eq!(event::count(own), round, "on the way out of the call");
    }
    // It waits for a vCPU that does not run yet.
    assert_eq!(event::send(other), Ok(0));
    assert!(event::is_pending(other));
    smp::start(VcpuId(1), |_| {
        event::unmask_upcalls();
        smp::wait_until("the end", || event::upcalls(VcpuId(1)) > 3);
    });
    smp::wait_until("the first event", || event::count(other) == 1);
    for round in 2..=4 {
        assert_eq!(event::send(other), Ok(0));
        smp::wait_until("an event", || event::count(other) == round);
    }
    assert_eq!(event::last_vcpu(other), VcpuId(1));
    assert_eq!(event::last_vcpu(own), VcpuId(0));
    for vcpu in [smp::nr_vcpus(), 8192, u32::MAX] {
        let mut bind = BindIpi {
            vcpu: VcpuId(vcpu),
            port: Port(0),
        };
        let outcome = event::operate(EventChannelOp::BindIpi, &mut bind);
        assert_eq!(outcome, Err(Errno::ENOENT), "vCPU {vcpu}");
    }
}
