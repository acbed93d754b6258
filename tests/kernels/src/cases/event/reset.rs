//! All ports of the domain are closed at once; their numbers are free.

use super::super::prelude::*;
use guest_abi::event_channel::{ChannelStatus, Virq};

pub(crate) fn run() {
    event::unmask_upcalls();
    assert_eq!(event::reset(DomId(77)), Err(Errno::ESRCH));
    let first = event::alloc_unbound(DomId::SELF, DomId::SELF).unwrap();
    let second = event::bind_interdomain(DomId::SELF, first).unwrap();
    let virq = event::bind_virq(Virq::Timer, VcpuId(0));
    let ipi = event::bind_ipi(VcpuId(0));
    for dom in [DomId::SELF, DomId::DOM0] {
        assert_eq!(event::reset(dom), Ok(0));
        for port in [first, second, virq, ipi] {
            let state = event::status(port).unwrap();
            assert_eq!(state.status, ChannelStatus::Closed.number(), "{port:?}");
            assert_eq!(event::send(port), Err(Errno::EINVAL));
        }
    }
    assert_eq!(event::bind_virq(Virq::Timer, VcpuId(0)), first);
}
