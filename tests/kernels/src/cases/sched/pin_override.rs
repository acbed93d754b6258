//! The hardware domain's vCPU can have itself run on one processor for a while.

use super::super::prelude::*;
use guest_abi::sched_op::{PinOverride, SchedOp};

fn pin(pcpu: i32) -> Result<u64, Errno> {
    hypercall!(
        SchedOp,
        SchedOp::PinOverride.number(),
        &PinOverride { pcpu }
    )
}

pub(crate) fn run() {
    assert_eq!(pin(-1), Err(Errno::EINVAL), "there is nothing to undo");
    assert_eq!(pin(100), Err(Errno::EINVAL));
    assert_eq!(pin(0), Ok(0));
    for _ in 0..10 {
        let _ = hypercall!(SchedOp, SchedOp::Yield.number());
    }
    assert_eq!(pin(0), Err(Errno::EBUSY), "once at a time");
    assert_eq!(pin(-1), Ok(0));
    assert_eq!(pin(-1), Err(Errno::EINVAL));
    assert_eq!(pin(0), Ok(0));
    assert_eq!(pin(-5), Ok(0));
}
