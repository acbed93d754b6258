//! The single-shot timer by its older hypercall, in which zero stops it.

use super::super::prelude::*;
use crate::clock::{self, MS};

fn set(timeout: u64) {
    assert_eq!(hypercall!(SetTimerOp, timeout), Ok(0), "{timeout}");
}

pub(crate) fn run() {
    clock::stop_periodic_timer();
    let port = clock::bind_timer();
    event::unmask_upcalls();
    let deadline = clock::now_ns() + 5 * MS;
    set(deadline);
    smp::wait_until("the timer", || event::count(port) == 1);
    assert!(clock::now_ns() >= deadline);
    // The past.
    set(1);
    smp::wait_until("a timer in the past", || event::count(port) == 2);
    // A time that is no time comes soon.
    let start = clock::now_ns();
    set(u64::MAX - 5);
    smp::wait_until("a timer that makes no sense", || event::count(port) == 3);
    assert!(clock::now_ns() >= start + 50 * MS);
    set(clock::now_ns() + 10 * MS);
    set(0);
    let quiet = clock::now_ns() + 30 * MS;
    while clock::now_ns() < quiet {
        core::hint::spin_loop();
    }
    assert_eq!(event::count(port), 3, "stopped, it fires");
}
