//! The first domain can't be reset alone: the machine reboots.

use guest_abi::sched_op::ShutdownReason;

pub(crate) fn run() {
    crate::verdict::expect("REBOOT");
    super::shut_down(ShutdownReason::SoftReset);
}
