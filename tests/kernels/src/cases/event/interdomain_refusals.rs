//! Ports are connected only with one that waits for this domain.

use super::super::prelude::*;

pub(crate) fn run() {
    let ipi = event::bind_ipi(VcpuId(0));
    let for_another = event::alloc_unbound(DomId::SELF, DomId(77)).unwrap();
    for port in [
        Port(0),
        ipi,
        for_another,
        Port(4095),
        Port(4096),
        Port(u32::MAX),
    ] {
        let outcome = event::bind_interdomain(DomId::SELF, port);
        assert_eq!(outcome, Err(Errno::EINVAL), "{port:?}");
    }
    for domain in [DomId(77), DomId(0x7fef), DomId::INVALID] {
        assert_eq!(
            event::bind_interdomain(domain, Port(1)),
            Err(Errno::ESRCH),
            "{domain:?}"
        );
        assert_eq!(
            event::alloc_unbound(domain, DomId::SELF),
            Err(Errno::ESRCH),
            "{domain:?}"
        );
    }
    // None of this has taken a port.
    let next = event::alloc_unbound(DomId::DOM0, DomId(5)).unwrap();
    assert_eq!(next.0, for_another.0 + 1);
}
