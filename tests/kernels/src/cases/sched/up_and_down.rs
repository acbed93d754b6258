//! A vCPU takes itself down, is seen to be down, and goes on behind its hypercall when it comes up again.

use super::super::prelude::*;
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};
use guest_abi::time::{RunState, RunstateInfo};
use guest_abi::vcpu_op::VcpuOp;

const ROUNDS: u32 = 100;
const OTHER: VcpuId = VcpuId(1);

static TURNS: AtomicU32 = AtomicU32::new(0);

fn other(vcpu: VcpuId) {
    loop {
        TURNS.fetch_add(1, SeqCst);
        assert_eq!(smp::operate_plain(VcpuOp::Down, vcpu), Ok(0));
    }
}

fn is_up() -> bool {
    smp::operate_plain(VcpuOp::IsUp, OTHER) == Ok(1)
}

pub(crate) fn run() {
    smp::need(2);
    assert!(!is_up());
    assert_eq!(smp::operate_plain(VcpuOp::Up, OTHER), Err(Errno::EINVAL));
    smp::set_main(OTHER, other);
    let context = smp::context(OTHER);
    assert_eq!(smp::operate(VcpuOp::Initialise, OTHER, &context), Ok(0));
    let outcome = smp::operate(VcpuOp::Initialise, OTHER, &context);
    assert_eq!(outcome, Err(Errno::EEXIST));
    assert!(!is_up());
    for round in 1..=ROUNDS {
        assert_eq!(smp::operate_plain(VcpuOp::Up, OTHER), Ok(0));
        smp::wait_until("the other's turn", || TURNS.load(SeqCst) == round);
        smp::wait_until("it to go down", || !is_up());
    }
    // It is called down before it has left its processor.
    smp::wait_until("it to be offline", || {
        let mut info = RunstateInfo::new_zeroed();
        let outcome = hypercall!(VcpuOp, VcpuOp::GetRunstateInfo.number(), 1u64, &mut info);
        assert_eq!(outcome, Ok(0));
        info.state == RunState::Offline.number()
    });
    // Somebody else may take it down as well, wherever it is.
    for _ in 0..ROUNDS {
        assert_eq!(smp::operate_plain(VcpuOp::Up, OTHER), Ok(0));
        assert_eq!(smp::operate_plain(VcpuOp::Down, OTHER), Ok(0));
        assert!(!is_up());
    }
    let outcome = smp::operate_plain(VcpuOp::IsUp, VcpuId(5000));
    assert_eq!(outcome, Err(Errno::ENOENT));
}
