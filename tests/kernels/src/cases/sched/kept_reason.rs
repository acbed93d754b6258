//! The reason that was kept beforehand is the one that counts.

use super::super::prelude::*;
use guest_abi::sched_op::{SchedOp, Shutdown, ShutdownReason};

fn shutdown(op: SchedOp, reason: ShutdownReason) {
    let shutdown = Shutdown {
        reason: reason.number(),
    };
    assert_eq!(hypercall!(SchedOp, op.number(), &shutdown), Ok(0));
}

pub(crate) fn run() {
    crate::verdict::expect("POWEROFF");
    shutdown(SchedOp::ShutdownCode, ShutdownReason::Poweroff);
    shutdown(SchedOp::Shutdown, ShutdownReason::Crash);
    panic!("the domain goes on");
}
