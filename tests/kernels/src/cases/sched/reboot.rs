//! The first domain reboots the machine.

use guest_abi::sched_op::ShutdownReason;

pub(crate) fn run() {
    crate::verdict::expect("REBOOT");
    super::shut_down(ShutdownReason::Reboot);
}
