//! An event on a masked port waits, once however often it is sent, until the port is unmasked by the
//! hypercall.

use super::super::prelude::*;

pub(crate) fn run() {
    event::unmask_upcalls();
    let port = event::bind_ipi(VcpuId(0));
    event::mask(port);
    for _ in 0..3 {
        assert_eq!(event::send(port), Ok(0));
        assert!(event::is_pending(port));
        assert_eq!(event::count(port), 0);
    }
    assert_eq!(event::unmask(port), Ok(0));
    assert_eq!(event::count(port), 1, "on the way out of the call");
    assert!(!event::is_pending(port) && !event::is_masked(port));
    // One that is not pending is unmasked in silence.
    event::mask(port);
    assert_eq!(event::unmask(port), Ok(0));
    assert_eq!(event::count(port), 1);
    // Events on one that is pending already go no way of their own: whoever clears it looks.
    event::mask(port);
    assert_eq!(event::send(port), Ok(0));
    event::shared_info().mask[port.0 as usize / 64]
        .fetch_and(!(1 << (port.0 % 64)), core::sync::atomic::Ordering::SeqCst);
    assert_eq!(event::send(port), Ok(0));
    assert_eq!(event::count(port), 1, "pending all the time");
    event::clear_pending(port);
    assert_eq!(event::send(port), Ok(0));
    assert_eq!(event::count(port), 2);
    for port in [Port(4096), Port(u32::MAX)] {
        assert_eq!(event::unmask(port), Err(Errno::EINVAL), "{port:?}");
    }
}
