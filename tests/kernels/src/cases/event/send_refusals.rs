//! Events are sent by ports that can send; others, and those that do not exist, are refused.

use super::super::prelude::*;
use guest_abi::event_channel::Virq;

pub(crate) fn run() {
    let virq = event::bind_virq(Virq::Debug, VcpuId(0));
    let unbound = event::alloc_unbound(DomId::SELF, DomId(3)).unwrap();
    let closed = event::bind_ipi(VcpuId(0));
    assert_eq!(event::close(closed), Ok(0));
    for port in [
        Port(0),
        virq,
        closed,
        Port(4095),
        Port(4096),
        Port(u32::MAX),
    ] {
        assert_eq!(event::send(port), Err(Errno::EINVAL), "{port:?}");
    }
    assert_eq!(event::send(unbound), Ok(0), "nobody has come yet");
    for port in [Port(0), closed, Port(4095), Port(4096), Port(u32::MAX)] {
        assert_eq!(event::close(port), Err(Errno::EINVAL), "{port:?}");
    }
    assert!(!event::is_pending(virq) && !event::is_pending(unbound));
}
