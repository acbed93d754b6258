//! The scheduler has the parameters that the boot options give, and keeps to the time slice.

use super::super::prelude::*;
use crate::clock::{MS, now_ns};
use crate::{command_line, control};
use core::hint::spin_loop;
use core::sync::atomic::{AtomicBool, Ordering};
use guest_abi::domctl_vcpu::Scheduler;
use guest_abi::payload::Payload;
use guest_abi::sysctl::SysctlOp;
use guest_abi::sysctl_cpu::{CreditSchedule, SchedulerCommand, SchedulerOp};

/// `sched_credit_tslice_ms=` and `sched_ratelimit_us=` in the options.
const SLICE_MS: u32 = 300;
const RATELIMIT_US: u32 = 2500;

static IS_OVER: AtomicBool = AtomicBool::new(false);

fn spin(_: VcpuId) {
    while !IS_OVER.load(Ordering::SeqCst) {
        spin_loop();
    }
}

pub(crate) fn run() {
    let mut wish = SchedulerOp::new_zeroed();
    wish.sched_id = Scheduler::Credit as u32;
    wish.cmd = SchedulerCommand::GetInfo.number();
    let mut content = Payload::of(&wish);
    assert_eq!(control::sysctl(SysctlOp::SchedulerOp, &mut content), Ok(0));
    let schedule: CreditSchedule = content.read::<SchedulerOp>().u.read();
    assert_eq!(
        (schedule.tslice_ms, schedule.ratelimit_us),
        (SLICE_MS, RATELIMIT_US)
    );
    if command_line::number("processors") != Some(1) {
        return;
    }
    // The other vCPU has the processor for its whole slice, which the usual one is but a tenth of.
    smp::start(VcpuId(1), spin);
    let until = now_ns() + 20 * u64::from(SLICE_MS) * MS;
    let (mut last, mut longest) = (now_ns(), 0);
    while last < until && longest < u64::from(SLICE_MS) * MS / 2 {
        let now = now_ns();
        (last, longest) = (now, longest.max(now - last));
    }
    IS_OVER.store(true, Ordering::SeqCst);
    assert!(
        longest >= u64::from(SLICE_MS) * MS / 2,
        "the longest slice was {longest} ns"
    );
}
