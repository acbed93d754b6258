//! Says that it runs, and waits for ever.

use super::super::prelude::*;
use crate::shared_ring::print_on_console;
use guest_abi::sched_op::SchedOp;

pub(crate) fn run() {
    print_on_console("the guest runs");
    crate::clock::stop_periodic_timer();
    loop {
        let _ = hypercall!(SchedOp, SchedOp::Block.number());
    }
}
