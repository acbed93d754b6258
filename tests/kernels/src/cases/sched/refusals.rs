//! What `sched_op` refuses.

use super::super::prelude::*;
use guest_abi::sched_op::{RemoteShutdown, SchedOp};

fn remote(domain_id: DomId) -> Result<u64, Errno> {
    let wish = RemoteShutdown {
        domain_id,
        pad0: [0; 2],
        reason: 0,
    };
    hypercall!(SchedOp, SchedOp::RemoteShutdown.number(), &wish)
}

pub(crate) fn run() {
    // A number is wanted, be it one's own.
    assert_eq!(remote(DomId::SELF), Err(Errno::ESRCH));
    assert_eq!(remote(DomId(1234)), Err(Errno::ESRCH));
    for op in [
        SchedOp::Shutdown,
        SchedOp::Poll,
        SchedOp::RemoteShutdown,
        SchedOp::ShutdownCode,
        SchedOp::Watchdog,
        SchedOp::PinOverride,
    ] {
        let outcome = hypercall!(SchedOp, op.number(), 0x1000u64);
        assert_eq!(outcome, Err(Errno::EFAULT), "{op:?}");
    }
    assert_eq!(hypercall!(SchedOp, 8u64), Err(Errno::ENOSYS));
}
