//! Which locks each processor holds, in the image for the tests: one taken out of order ends the hypervisor, also where nobody
//! happens to wait for the other one.
//!
//! An interrupt handler's locks count as taken under those of the code that it interrupts, for that is what they are.

#![forbid(unsafe_code)]

use super::death;
use super::percpu::{self, MAX_CPUS};
use crate::lock::InterruptsOff;
use arrayvec::ArrayVec;
use core::panic::Location;
use spin::mutex::SpinMutex;

/// Locks that a processor may hold at a time.
const MOST: usize = 16;

/// A lock that is held: its rank, and where it was taken.
type Held = (u8, &'static Location<'static>);

/// What each processor holds, in the order in which it was taken. Nobody else looks.
static HELD: [SpinMutex<ArrayVec<Held, MOST>>; MAX_CPUS] =
    [const { SpinMutex::new(ArrayVec::new_const()) }; MAX_CPUS];

/// `None` while the hypervisor dies: what is said then is said in spite of all that is held, and what ends it (an NMI, a
/// machine check) may have come right in here.
fn with_own<T>(look: impl FnOnce(&mut ArrayVec<Held, MOST>) -> T) -> Option<T> {
    let _off = InterruptsOff::new();
    if death::is_dying() {
        return None;
    }
    match HELD.get(percpu::current_cpu() as usize) {
        Some(held) => Some(look(&mut held.lock())),
        None => unreachable!("a processor beyond the last one"),
    }
}

/// A lock of `rank` is about to be taken: it must be higher than all that this processor holds.
#[track_caller]
pub(crate) fn check(rank: u8) {
    let highest = with_own(|held| held.iter().copied().max_by_key(|(rank, _)| *rank));
    if let Some((other, place)) = highest.flatten()
        && other >= rank
    {
        panic!(
            "lock of rank {rank} taken at {} while holding rank {other}, taken at {place}",
            Location::caller()
        );
    }
}

/// This processor holds one more.
#[track_caller]
pub(crate) fn hold(rank: u8) {
    let place = Location::caller();
    with_own(|held| held.push((rank, place)));
}

/// It holds one less: the one of this rank that was taken last.
pub(crate) fn let_go(rank: u8) {
    with_own(|held| {
        if let Some(at) = held.iter().rposition(|(held, _)| *held == rank) {
            held.remove(at);
        }
    });
}
