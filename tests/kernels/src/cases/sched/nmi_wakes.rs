//! An NMI wakes a vCPU that is blocked.

use super::super::prelude::*;
use super::block;
use crate::chance::Chance;
use crate::control::is_reference;
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};
use guest_abi::time::{RunState, RunstateInfo};
use guest_abi::vcpu_op::VcpuOp;

/// How many are sent without a look at what the vCPU does.
const SURPRISES: u32 = 5000;

static NMIS: AtomicU32 = AtomicU32::new(0);
static BLOCKS: AtomicU32 = AtomicU32::new(0);

fn handle(_: &mut trap::Trap) {
    NMIS.fetch_add(1, SeqCst);
}

fn sleeper(_: VcpuId) {
    crate::clock::stop_periodic_timer();
    loop {
        BLOCKS.fetch_add(1, SeqCst);
        event::mask_upcalls();
        block();
    }
}

fn is_blocked(vcpu: VcpuId) -> bool {
    let mut info = RunstateInfo::new_zeroed();
    let outcome = hypercall!(VcpuOp, VcpuOp::GetRunstateInfo.number(), vcpu.0, &mut info);
    assert_eq!(outcome, Ok(0));
    info.state == RunState::Blocked.number()
}

pub(crate) fn run() {
    smp::need(2);
    trap::set_handler(NMI, handle);
    smp::start(VcpuId(1), sleeper);
    // Nothing can be said about one.
    assert_eq!(
        smp::operate(VcpuOp::SendNmi, VcpuId(1), &NMIS),
        Err(Errno::EINVAL)
    );
    for round in 1..=20 {
        smp::wait_until("it to sleep", || is_blocked(VcpuId(1)));
        let blocks = BLOCKS.load(SeqCst);
        assert_eq!(smp::operate_plain(VcpuOp::SendNmi, VcpuId(1)), Ok(0));
        smp::wait_until("the NMI", || NMIS.load(SeqCst) == round);
        smp::wait_until("it to go on", || BLOCKS.load(SeqCst) > blocks);
    }
    // The reference loses one that comes just before.
    if is_reference() {
        return;
    }
    // At any moment, just before it is blocked included. It may be asleep again when it has handled one.
    let mut chance = Chance::new(1);
    for _ in 0..SURPRISES {
        chance.spin(20_000);
        let before = NMIS.load(SeqCst);
        assert_eq!(smp::operate_plain(VcpuOp::SendNmi, VcpuId(1)), Ok(0));
        smp::wait_until("an NMI at any moment", || NMIS.load(SeqCst) > before);
    }
}
