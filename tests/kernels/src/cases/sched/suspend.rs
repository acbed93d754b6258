//! The first domain that suspends itself has ended for no reason that a machine could go on after.

use guest_abi::sched_op::ShutdownReason;

pub(crate) fn run() {
    crate::verdict::expect("SUSPEND");
    super::shut_down(ShutdownReason::Suspend);
}
