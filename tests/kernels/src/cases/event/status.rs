//! The state of a port is told for each kind of port.

use super::super::prelude::*;
use guest_abi::event_channel::{ChannelStatus, EventChannelOp, Status, Virq};

pub(crate) fn run() {
    let unbound = event::alloc_unbound(DomId::SELF, DomId(9)).unwrap();
    let ipi = event::bind_ipi(VcpuId(0));
    let virq = event::bind_virq(Virq::Timer, VcpuId(0));
    for (port, kind) in [
        (Port(0), ChannelStatus::Closed),
        (unbound, ChannelStatus::Unbound),
        (ipi, ChannelStatus::Ipi),
        (virq, ChannelStatus::Virq),
    ] {
        let state = event::status(port).unwrap();
        assert_eq!(state.status, kind.number(), "{port:?}");
        assert_eq!((state.dom, state.port), (DomId::SELF, port), "as asked for");
    }
    assert_eq!(event::status(unbound).unwrap().remote_dom, DomId(9));
    assert_eq!(event::close(ipi), Ok(0));
    let state = event::status(ipi).unwrap();
    assert_eq!(state.status, ChannelStatus::Closed.number());
    assert_eq!(event::status(Port(u32::MAX)).err(), Some(Errno::EINVAL));
    let mut other = Status::new_zeroed();
    (other.dom, other.port) = (DomId(77), Port(1));
    let outcome = event::operate(EventChannelOp::Status, &mut other);
    assert_eq!(outcome, Err(Errno::ESRCH));
}
