//! Each operation's results and refusals, one by one.

mod delivery;
mod ports;

use crate::event::test_domain::{TestDomain, TestDomains};
use crate::event::*;
use crate::sync::atomic::Ordering::SeqCst;
use guest_abi::event_channel::NR_PORTS_2L;
use guest_abi::ids::{DomId, Port, VcpuId};

pub(super) const V0: VcpuId = VcpuId(0);
pub(super) const V1: VcpuId = VcpuId(1);
pub(super) const D0: DomId = DomId(0);
pub(super) const D1: DomId = DomId(1);

pub(super) fn two() -> TestDomains {
    TestDomains(
        (0..2)
            .map(|id| TestDomain::new(id, NR_PORTS_2L, 2, 64))
            .collect(),
    )
}

/// Domain 0's port 1 connected to domain 1's port 1, nothing pending.
pub(super) fn connected() -> (TestDomains, Port, Port) {
    let domains = two();
    let [zero, one] = &domains.0[..] else {
        unreachable!()
    };
    let far = alloc_unbound(one, D0).expect("free");
    let near = bind_interdomain(&domains, zero, D1, far).expect("unbound for us");
    zero.shared.clear_pending(near);
    quiesce(zero);
    (domains, near, far)
}

/// What a guest does in its upcall, without handling anything.
pub(super) fn quiesce(domain: &TestDomain) {
    for vcpu in &domain.shared.vcpus {
        vcpu.upcall_pending.store(0, SeqCst);
        vcpu.selector.store(0, SeqCst);
        vcpu.kicks.store(0, SeqCst);
    }
}

#[track_caller]
pub(super) fn assert_upcall(domain: &TestDomain, vcpu: VcpuId, port: Port) {
    assert!(domain.shared.is_pending(port));
    assert_eq!(domain.vcpu(vcpu).selector.load(SeqCst), 1 << (port.0 / 64));
    assert!(domain.shared.is_upcall_pending(vcpu));
    assert_eq!(domain.vcpu(vcpu).kicks.load(SeqCst), 1);
}
