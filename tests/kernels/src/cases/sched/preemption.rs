//! A timer is heard during a long list of hypercalls: the list stops for it and goes on.

use super::super::prelude::*;
use crate::clock::{self, MS};
use guest_abi::hypercall::Hypercall;
use guest_abi::multicall::MulticallEntry;

/// Calls in the list; it takes many times as long as the timer.
const CALLS: usize = 16;

pub(crate) fn run() {
    clock::stop_periodic_timer();
    let port = clock::bind_timer();
    event::unmask_upcalls();
    // The list is made longer until it lasts long enough, on whatever machine.
    let frames: [Frame; CALLS] = Frame::alloc_many();
    let mut per_frame = 0;
    // SAFETY: frames of our own, in one piece of the initial mapping only if they follow each other; each is
    // used by itself.
    let lists = frames.map(|frame| unsafe {
        per_frame = 4096 / size_of::<MulticallEntry>();
        core::slice::from_raw_parts_mut(frame.va().0 as *mut MulticallEntry, per_frame)
    });
    let mut heard = 0;
    for list in lists {
        for entry in list.iter_mut() {
            *entry = MulticallEntry::new_zeroed();
            entry.op = Hypercall::Version.number();
        }
        for _ in 0..200 {
            let before = event::count(port);
            clock::set_timer(clock::now_ns() + MS / 20);
            assert_eq!(hypercall!(Multicall, &*list, per_frame), Ok(0));
            heard += event::count(port) - before;
            assert!(list.iter().all(|entry| entry.result == 4 << 16 | 17));
            smp::wait_until("the timer", || event::count(port) > before);
        }
    }
    assert_ne!(heard, 0, "no timer has interrupted a list");
}
