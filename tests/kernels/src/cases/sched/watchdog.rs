//! Two watchdogs, which bark only when they are not fed.

use super::super::prelude::*;
use super::set_watchdog;
use crate::clock::{self, MS};

pub(crate) fn run() {
    assert_eq!(set_watchdog(3, 10), Err(Errno::EINVAL), "no such number");
    assert_eq!(set_watchdog(1, 10), Err(Errno::EINVAL), "not in use");
    assert_eq!(set_watchdog(0, 1), Ok(1));
    assert_eq!(set_watchdog(0, 100), Ok(2));
    // Only the lower half of this result counts.
    let third = set_watchdog(0, 100).map(|result| result as i32);
    let refused = -(Errno::ENOSPC as i32);
    assert!(
        third == Err(Errno::ENOSPC) || third == Ok(refused),
        "{third:?}"
    );
    // Fed for longer than it would wait.
    let end = clock::now_ns() + 1500 * MS;
    while clock::now_ns() < end {
        assert_eq!(set_watchdog(1, 5), Ok(0));
        let _ = hypercall!(SchedOp, guest_abi::sched_op::SchedOp::Yield.number());
    }
    assert_eq!(set_watchdog(2, 0), Ok(0));
    assert_eq!(
        set_watchdog(2, 0),
        Err(Errno::EINVAL),
        "not in use any more"
    );
    assert_eq!(set_watchdog(0, 1), Ok(2));
    for id in [1, 2] {
        assert_eq!(set_watchdog(id, 0), Ok(0));
    }
    while clock::now_ns() < end + 1500 * MS {
        core::hint::spin_loop();
    }
}
