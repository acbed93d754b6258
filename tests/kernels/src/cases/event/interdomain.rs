//! Two ports are connected, here both of this domain: each sends to the other; when one is closed, the
//! other can be connected again.

use super::super::prelude::*;
use guest_abi::event_channel::ChannelStatus;

pub(crate) fn run() {
    event::unmask_upcalls();
    let first = event::alloc_unbound(DomId::SELF, DomId::SELF).unwrap();
    let state = event::status(first).unwrap();
    assert_eq!(state.status, ChannelStatus::Unbound.number());
    assert_eq!(state.remote_dom, DomId::DOM0);
    let second = event::bind_interdomain(DomId::SELF, first).unwrap();
    assert_ne!(first, second);
    // Whoever connects looks at the port at once, in case something was sent before.
    assert_eq!(event::count(second), 1, "pending from the beginning");
    assert_eq!(event::count(first), 0);
    for (a, b) in [(first, second), (second, first)] {
        let state = event::status(a).unwrap();
        assert_eq!(state.status, ChannelStatus::Interdomain.number());
        assert_eq!((state.remote_dom, state.remote_port), (DomId::DOM0, b));
    }
    assert_eq!(event::send(first), Ok(0));
    assert_eq!((event::count(first), event::count(second)), (0, 2));
    assert_eq!(event::send(second), Ok(0));
    assert_eq!((event::count(first), event::count(second)), (1, 2));
    // Connected: nobody else can be.
    assert_eq!(
        event::bind_interdomain(DomId::SELF, first),
        Err(Errno::EINVAL)
    );
    assert_eq!(event::close(second), Ok(0));
    let state = event::status(first).unwrap();
    assert_eq!(state.status, ChannelStatus::Unbound.number());
    assert_eq!(state.remote_dom, DomId::DOM0);
    // Nobody is there, and that is no mistake.
    assert_eq!(event::send(first), Ok(0));
    assert_eq!(event::count(first), 1);
    let third = event::bind_interdomain(DomId::DOM0, first).unwrap();
    assert_eq!(event::send(first), Ok(0));
    assert_eq!(event::count(third), if third == second { 4 } else { 2 });
}
