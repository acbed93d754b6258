//! The single-shot timer fires once, never early, and soon.

use super::super::prelude::*;
use super::Lateness;
use crate::clock::{self, MS};
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
use guest_abi::sched_op::SchedOp;
use guest_abi::vcpu_op::{SetSingleshotTimer, TimerFlags, VcpuOp};

/// In a series.
const ROUNDS: usize = 40;

static FIRED_AT: AtomicU64 = AtomicU64::new(0);

fn handle(_: &mut trap::Trap) {
    FIRED_AT.store(clock::now_ns(), SeqCst);
    event::dispatch();
}

/// When the timer has fired that was set for `deadline`.
fn fires(port: Port, deadline: u64, sleeps: impl Fn(Port, u32)) -> u64 {
    let before = event::count(port);
    clock::set_timer(deadline);
    while event::count(port) == before {
        sleeps(port, before);
    }
    FIRED_AT.load(SeqCst)
}

fn spin() {
    core::hint::spin_loop();
}

/// Blocks, unless the event has come: asked while upcalls are masked, for nothing wakes who blocks after it has come.
fn block(port: Port, before: u32) {
    event::mask_upcalls();
    if event::count(port) == before {
        assert_eq!(hypercall!(SchedOp, SchedOp::Block.number()), Ok(0));
    }
    event::unmask_upcalls();
}

/// Has it fire many times: each time once, not early, and soon.
fn series(port: Port) {
    let mut late_ns = [0; ROUNDS];
    let before = event::count(port);
    for (round, late_ns) in late_ns.iter_mut().enumerate() {
        let deadline = clock::now_ns() + MS / 5 + round as u64 * MS / 8;
        // It is blocked before its time only in the later rounds; either way it must be woken.
        let at = if round & 1 == 0 {
            fires(port, deadline, |_, _| spin())
        } else {
            fires(port, deadline, block)
        };
        let fired = event::count(port) - before;
        assert_eq!(fired, round as u32 + 1, "times that it has fired");
        assert!(at >= deadline, "{} ns early", deadline - at);
        *late_ns = at - deadline;
    }
    Lateness::allowed().judge("the timer", &mut late_ns);
}

fn stop() {
    let outcome = smp::operate_plain(VcpuOp::StopSingleshotTimer, VcpuId(0));
    assert_eq!(outcome, Ok(0));
}

/// Sets the timer, and changes that before its time: again where the host had other work meanwhile, for longer. Returns how often it had fired.
fn set_and(port: Port, change: impl Fn()) -> u32 {
    loop {
        let deadline = clock::now_ns() + 10 * MS;
        let count = event::count(port);
        clock::set_timer(deadline);
        change();
        if clock::now_ns() < deadline {
            return count;
        }
        stop();
    }
}

pub(crate) fn run() {
    clock::stop_periodic_timer();
    let port = clock::bind_timer();
    trap::set_handler(trap::EVENT, handle);
    event::unmask_upcalls();
    series(port);

    // Once.
    let count = event::count(port);
    let quiet = clock::now_ns() + 30 * MS;
    while clock::now_ns() < quiet {
        spin();
    }
    assert_eq!(event::count(port), count, "it fires again");

    // A later setting replaces it, and it can be stopped.
    let later = AtomicU64::new(0);
    let count = set_and(port, || {
        later.store(clock::now_ns() + 40 * MS, SeqCst);
        clock::set_timer(later.load(SeqCst));
    });
    while event::count(port) == count {
        spin();
    }
    assert!(FIRED_AT.load(SeqCst) >= later.load(SeqCst));
    assert_eq!(event::count(port), count + 1);
    let count = set_and(port, stop);
    let quiet = clock::now_ns() + 30 * MS;
    while clock::now_ns() < quiet {
        spin();
    }
    assert_eq!(event::count(port), count, "stopped, it fires");

    // In the past: at once.
    for past in [1, clock::now_ns() - 1] {
        let before = event::count(port);
        clock::set_timer(past);
        smp::wait_until("a timer in the past", || event::count(port) > before);
    }
    // Only one's own.
    if smp::nr_vcpus() > 1 {
        let timer = SetSingleshotTimer {
            timeout_abs_ns: 1,
            flags: TimerFlags::empty(),
            pad0: [0; 4],
        };
        let outcome = smp::operate(VcpuOp::SetSingleshotTimer, VcpuId(1), &timer);
        assert_eq!(outcome, Err(Errno::EINVAL));
        let outcome = smp::operate_plain(VcpuOp::StopSingleshotTimer, VcpuId(1));
        assert_eq!(outcome, Err(Errno::EINVAL));
    }
}
