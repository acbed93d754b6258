//! vCPUs that compute all the time share the processors: each gets some, none gets all.

use super::super::prelude::*;
use crate::clock::{self, MS};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};
use guest_abi::time::{RunState, RunstateInfo};
use guest_abi::vcpu_op::VcpuOp;

static STARTED: AtomicU32 = AtomicU32::new(0);
static IS_OVER: AtomicBool = AtomicBool::new(false);
static RAN: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];

fn ran(vcpu: VcpuId) -> u64 {
    let mut info = RunstateInfo::new_zeroed();
    let outcome = hypercall!(VcpuOp, VcpuOp::GetRunstateInfo.number(), vcpu.0, &mut info);
    assert_eq!(outcome, Ok(0));
    info.time[RunState::Running.number() as usize]
}

fn compute(_: VcpuId) {
    STARTED.fetch_add(1, SeqCst);
    while !IS_OVER.load(SeqCst) {
        core::hint::spin_loop();
    }
}

pub(crate) fn run() {
    let count = smp::nr_vcpus().min(4);
    smp::need(2);
    for id in 1..count {
        smp::start(VcpuId(id), compute);
    }
    smp::wait_until("all to compute", || STARTED.load(SeqCst) == count - 1);
    let start = clock::now_ns();
    for (id, ran_before) in (0..count).zip(&RAN) {
        ran_before.store(ran(VcpuId(id)), SeqCst);
    }
    while clock::now_ns() < start + 1500 * MS {
        core::hint::spin_loop();
    }
    let elapsed = clock::now_ns() - start;
    let shares = [0, 1, 2, 3].map(|id: u32| {
        if id < count {
            ran(VcpuId(id)) - RAN[id as usize].load(SeqCst)
        } else {
            0
        }
    });
    IS_OVER.store(true, SeqCst);
    for (id, share) in (0..count).zip(shares) {
        // A fair share is a count-th of one processor at least.
        let least = elapsed / u64::from(count) / 3;
        assert!(
            share >= least,
            "vCPU {id} ran {share} of {elapsed} ns, all: {shares:?}"
        );
        assert!(share <= elapsed + 100 * MS);
    }
}
