//! A port that belongs to no vCPU can be moved to any.

use super::super::prelude::*;
use guest_abi::event_channel::Virq;

fn bind(port: Port, vcpu: u32) -> Result<u64, Errno> {
    event::bind_vcpu(port, VcpuId(vcpu))
}

pub(crate) fn run() {
    smp::need(2);
    event::unmask_upcalls();
    let first = event::alloc_unbound(DomId::SELF, DomId::SELF).unwrap();
    let second = event::bind_interdomain(DomId::SELF, first).unwrap();
    assert_eq!(event::status(second).unwrap().vcpu, VcpuId(0), "at first");
    smp::start(VcpuId(1), |_| {
        event::unmask_upcalls();
        loop {
            let _ = hypercall!(SchedOp, 0u64);
        }
    });
    for (vcpu, sent) in [(1, 1), (0, 2), (1, 3)] {
        assert_eq!(bind(second, vcpu), Ok(0));
        assert_eq!(event::status(second).unwrap().vcpu, VcpuId(vcpu));
        assert_eq!(event::send(first), Ok(0));
        smp::wait_until("the event", || event::count(second) == 1 + sent);
        assert_eq!(event::last_vcpu(second), VcpuId(vcpu));
    }
    let global = event::bind_virq(Virq::DomainException, VcpuId(0));
    assert_eq!(bind(global, 1), Ok(0));
    let own = [
        event::bind_ipi(VcpuId(0)),
        event::bind_virq(Virq::Timer, VcpuId(0)),
        event::bind_virq(Virq::Debug, VcpuId(0)),
    ];
    for port in own.into_iter().chain([Port(0), Port(4095), Port(4096)]) {
        assert_eq!(bind(port, 1), Err(Errno::EINVAL), "{port:?}");
    }
    assert_eq!(bind(second, smp::nr_vcpus()), Err(Errno::ENOENT));
    assert_eq!(bind(second, u32::MAX), Err(Errno::ENOENT));
}
