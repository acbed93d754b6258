//! The periodic timer: on from the start, at a period of the guest's choice, until it is stopped. It never ticks more often
//! than that, and not much more seldom.

use super::super::prelude::*;
use super::Lateness;
use crate::clock::{self, MS};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use guest_abi::vcpu_op::{SetPeriodicTimer, VcpuOp};

/// In a series.
const TICKS: usize = 16;

static PORT: AtomicU32 = AtomicU32::new(0);
/// When the first ticks since the last [`forget`] came, and how many there were.
static TICKED_AT: [AtomicU64; TICKS] = [const { AtomicU64::new(0) }; TICKS];
static NR_TICKS: AtomicU32 = AtomicU32::new(0);

fn handle(_: &mut trap::Trap) {
    let now = clock::now_ns();
    let port = Port(PORT.load(SeqCst));
    let before = event::count(port);
    event::dispatch();
    if event::count(port) != before {
        let index = NR_TICKS.fetch_add(1, SeqCst) as usize;
        if let Some(place) = TICKED_AT.get(index) {
            place.store(now, SeqCst);
        }
    }
}

fn forget() {
    NR_TICKS.store(0, SeqCst);
}

fn ticks() -> usize {
    NR_TICKS.load(SeqCst) as usize
}

fn compute_for(ns: u64) {
    let end = clock::now_ns() + ns;
    while clock::now_ns() < end {
        core::hint::spin_loop();
    }
}

fn set(period_ns: u64) -> Result<u64, Errno> {
    let timer = SetPeriodicTimer { period_ns };
    smp::operate(VcpuOp::SetPeriodicTimer, VcpuId(0), &timer)
}

/// Watches the timer tick, at this period since `since_ns` at the latest, while this vCPU computes.
fn ticks_every(period_ns: u64, since_ns: u64) {
    let lateness = Lateness::allowed();
    let limit = clock::now_ns() + TICKS as u64 * (period_ns + lateness.worst_ns);
    while ticks() < TICKS {
        let found = ticks();
        assert!(clock::now_ns() < limit, "{found} ticks of {period_ns} ns");
        core::hint::spin_loop();
    }
    let at: [u64; TICKS] = core::array::from_fn(|index| TICKED_AT[index].load(SeqCst));
    // The first may be due at once. From one tick to the next is a period or more.
    for (index, at) in at.iter().enumerate() {
        let earliest = since_ns + index as u64 * period_ns;
        let early = earliest.saturating_sub(*at);
        assert!(
            early == 0,
            "tick {index} of {period_ns} ns comes {early} ns early"
        );
    }
    // One whose predecessor was late may seem to come before its time.
    let mut late_ns: [u64; TICKS - 1] =
        core::array::from_fn(|index| (at[index + 1] - at[index]).saturating_sub(period_ns));
    lateness.judge("ticks", &mut late_ns);
}

fn stops() {
    clock::stop_periodic_timer();
    compute_for(MS);
    let before = ticks();
    compute_for(50 * MS);
    assert_eq!(ticks(), before, "stopped");
}

pub(crate) fn run() {
    let port = clock::bind_timer();
    PORT.store(port.0, SeqCst);
    trap::set_handler(trap::EVENT, handle);
    // A hundred times a second, until somebody says otherwise, since some moment before. What has become due since then is one
    // tick, and the next one comes within a period of that.
    let period = 10 * MS;
    let since = clock::now_ns().saturating_sub(period);
    event::unmask_upcalls();
    ticks_every(period, since);
    for refused in [0, MS - 1, u64::MAX] {
        assert_eq!(set(refused), Err(Errno::EINVAL), "{refused} ns");
    }
    for period in [2 * MS, 30 * MS, MS] {
        stops();
        forget();
        let since = clock::now_ns();
        assert_eq!(set(period), Ok(0));
        ticks_every(period, since);
    }
    // A period of another length takes the place of the one before.
    let between = clock::now_ns();
    assert_eq!(set(20 * MS), Ok(0));
    forget();
    ticks_every(20 * MS, between);
    stops();
    stops();
}
