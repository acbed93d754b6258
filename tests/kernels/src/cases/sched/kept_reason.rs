//! The reason that was kept beforehand is the one that counts.

use guest_abi::sched_op::{SchedOp, ShutdownReason};

pub(crate) fn run() {
    crate::verdict::expect("POWEROFF");
    super::keep_or_end(SchedOp::ShutdownCode, ShutdownReason::Poweroff);
    super::shut_down(ShutdownReason::Crash);
}
