//! The account of a vCPU's time: what the hypercall says, and what the area shows.

use super::super::prelude::*;
use crate::clock::{self, MS};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use guest_abi::sched_op::SchedOp;
use guest_abi::time::{RunState, RunstateInfo};
use guest_abi::vcpu_op::{RegisterArea, VcpuOp};
use guest_abi::vm_assist::{VmAssist, VmAssistCommand};

/// [`RunstateInfo`] as memory that the hypervisor changes at any time.
#[repr(C)]
struct Area {
    state: AtomicU32,
    pad: u32,
    entry: AtomicU64,
    time: [AtomicU64; 4],
}

static AREA: Area = Area {
    state: AtomicU32::new(77),
    pad: 0,
    entry: AtomicU64::new(0),
    time: [const { AtomicU64::new(0) }; 4],
};

const _: () = assert!(size_of::<Area>() == size_of::<RunstateInfo>());

const BLOCKED: usize = RunState::Blocked.number() as usize;

fn info() -> RunstateInfo {
    let mut info = RunstateInfo::new_zeroed();
    let at = &raw mut info as u64;
    let outcome = hypercall!(VcpuOp, VcpuOp::GetRunstateInfo.number(), 0u64, at);
    assert_eq!(outcome, Ok(0));
    info
}

/// Sleeps for a while.
fn sleep(port: Port, ns: u64) {
    let before = event::count(port);
    clock::set_timer(clock::now_ns() + ns);
    while event::count(port) == before {
        assert_eq!(hypercall!(SchedOp, SchedOp::Block.number()), Ok(0));
    }
}

fn register(address: u64) -> Result<u64, Errno> {
    let area = RegisterArea {
        address: Vaddr(address),
    };
    smp::operate(VcpuOp::RegisterRunstateMemoryArea, VcpuId(0), &area)
}

pub(crate) fn run() {
    // Every nanosecond is in one of the sums.
    let before = clock::now_ns();
    let first = info();
    let between = clock::now_ns();
    assert_eq!(first.state, RunState::Running.number());
    assert!(first.state_entry_time <= between);
    for _ in 0..1000 {
        core::hint::spin_loop();
    }
    let then = clock::now_ns();
    let second = info();
    let after = clock::now_ns();
    let sum = |info: &RunstateInfo| info.time.iter().sum::<u64>();
    let elapsed = sum(&second) - sum(&first);
    assert!(
        elapsed <= after - before + 100 && elapsed + 100 >= then - between,
        "{elapsed} ns in the sums; {} to {} have passed",
        then - between,
        after - before
    );

    assert_eq!(register(&raw const AREA as u64), Ok(0));
    assert_eq!(AREA.state.load(SeqCst), RunState::Running.number());

    clock::stop_periodic_timer();
    let port = clock::bind_timer();
    for with_flag in [false, true] {
        if with_flag {
            let (enable, flag) = (VmAssistCommand::Enable, VmAssist::RunstateUpdateFlag);
            assert_eq!(hypercall!(VmAssist, enable.number(), flag.number()), Ok(0));
        }
        event::mask_upcalls();
        // A busy machine may come to the sleep only when it is over already.
        let (asleep, slept) = (0..20)
            .map(|_| {
                let blocked = AREA.time[BLOCKED].load(SeqCst);
                let asleep = clock::now_ns();
                sleep(port, 20 * MS);
                (asleep, AREA.time[BLOCKED].load(SeqCst) - blocked)
            })
            .find(|&(_, slept)| slept >= 10 * MS)
            .expect("no sleep is in the account");
        let most = clock::now_ns() - asleep;
        assert!(slept <= most, "{slept} of {most} ns");
        assert_eq!(AREA.state.load(SeqCst), RunState::Running.number());
        let entry = AREA.entry.load(SeqCst);
        assert!(
            (asleep..=clock::now_ns()).contains(&entry),
            "since {entry:#x}"
        );
        let told = info();
        assert_eq!(told.time[BLOCKED], AREA.time[BLOCKED].load(SeqCst));
        assert_eq!(told.state_entry_time, entry);
    }

    // An area that is not there is the guest's loss; the hypervisor's addresses are refused.
    assert_eq!(register(0x1000), Ok(0));
    sleep(port, MS);
    assert_eq!(register(0xffff_8000_0000_0000), Err(Errno::EFAULT));
}
