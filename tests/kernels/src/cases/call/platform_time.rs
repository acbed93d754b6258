//! The first domain sets the wall clock, and every reader of the shared page sees it.

use super::super::prelude::*;
use core::sync::atomic::Ordering::SeqCst;
use guest_abi::platform::{INTERFACE_VERSION, PlatformOp, PlatformOperation, SetTime64};

pub(crate) fn run() {
    let shared = event::shared_info();
    let seconds = |shared: &event::SharedInfo| {
        u64::from(shared.wc_sec_hi.load(SeqCst)) << 32 | u64::from(shared.wc_sec.load(SeqCst))
    };
    // 2020 to 2100.
    let before = seconds(shared);
    assert!(
        (1_577_836_800..4_102_444_800).contains(&before),
        "the wall clock says {before}"
    );
    assert_eq!(shared.wc_version.load(SeqCst) & 1, 0);

    let mut operation = PlatformOperation::new_zeroed();
    operation.cmd = PlatformOp::SetTime64.number();
    operation.interface_version = INTERFACE_VERSION;
    let mut time = SetTime64::new_zeroed();
    (time.secs, time.nsecs, time.system_time) = (5_000_000_000, 700_000_000, 300_000_000);
    operation.u.write(&time);
    assert_eq!(hypercall!(PlatformOp, &mut operation), Ok(0));
    assert_eq!(seconds(shared), 5_000_000_000);
    let nanoseconds = shared.wc_nsec.load(SeqCst);
    assert_eq!(nanoseconds, 400_000_000, "at system time 0");
    assert_eq!(shared.wc_version.load(SeqCst) & 1, 0);
    // What must be zero.
    time.mbz = 1;
    operation.u.write(&time);
    assert_eq!(hypercall!(PlatformOp, &mut operation), Err(Errno::EINVAL));
}
