//! The periodic timer: on from the start, at a period of the guest's choice, until it is stopped.

use super::super::prelude::*;
use crate::clock::{self, MS};
use guest_abi::vcpu_op::{SetPeriodicTimer, VcpuOp};

fn set(period_ns: u64) -> Result<u64, Errno> {
    let timer = SetPeriodicTimer { period_ns };
    smp::operate(VcpuOp::SetPeriodicTimer, VcpuId(0), &timer)
}

/// Ticks while this vCPU computes for a while.
fn ticks_in(port: Port, ns: u64) -> u32 {
    let before = event::count(port);
    let end = clock::now_ns() + ns;
    while clock::now_ns() < end {
        core::hint::spin_loop();
    }
    event::count(port) - before
}

pub(crate) fn run() {
    let port = clock::bind_timer();
    event::unmask_upcalls();
    // A hundred times a second, until somebody says otherwise. A busy machine may swallow some.
    let ticks = ticks_in(port, 300 * MS);
    assert!(
        (1..=31).contains(&ticks),
        "{ticks} ticks of 10 ms in 300 ms"
    );
    for refused in [0, MS - 1, u64::MAX] {
        assert_eq!(set(refused), Err(Errno::EINVAL), "{refused} ns");
    }
    assert_eq!(set(2 * MS), Ok(0));
    let ticks = ticks_in(port, 300 * MS);
    assert!(
        (1..=151).contains(&ticks),
        "{ticks} ticks of 2 ms in 300 ms"
    );
    clock::stop_periodic_timer();
    let _ = ticks_in(port, MS);
    assert_eq!(ticks_in(port, 50 * MS), 0, "stopped");
    clock::stop_periodic_timer();
    assert_eq!(set(50 * MS), Ok(0));
    let _ = ticks_in(port, 10 * MS);
    let ticks = ticks_in(port, 200 * MS);
    assert!((1..=5).contains(&ticks), "{ticks} ticks of 50 ms in 200 ms");
}
