//! When the last vCPU that is up goes down, the domain is switched off.

use super::super::prelude::*;
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};
use guest_abi::vcpu_op::VcpuOp;

static HAS_RUN: AtomicBool = AtomicBool::new(false);

fn other(_: VcpuId) {
    HAS_RUN.store(true, SeqCst);
}

pub(crate) fn run() {
    if smp::nr_vcpus() > 1 {
        smp::start(VcpuId(1), other);
        smp::wait_until("the other to run", || HAS_RUN.load(SeqCst));
        smp::wait_until("the other to go", || {
            smp::operate_plain(VcpuOp::IsUp, VcpuId(1)) == Ok(0)
        });
    }
    crate::verdict::expect("POWEROFF");
    let _ = smp::operate_plain(VcpuOp::Down, VcpuId(0));
    panic!("the last vCPU goes on");
}
