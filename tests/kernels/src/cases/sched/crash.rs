//! The first domain gives itself up.

use guest_abi::sched_op::ShutdownReason;

pub(crate) fn run() {
    crate::verdict::expect_crash();
    super::shut_down(ShutdownReason::Crash);
}
