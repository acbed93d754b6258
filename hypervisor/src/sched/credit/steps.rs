//! What decisions do, counted by tests on the host: entries of queues and processors that are looked at, and entries that are
//! moved. Elsewhere nothing is counted.
#![forbid(unsafe_code)]

/// So many were looked at, or moved.
#[cfg(not(all(test, not(loom))))]
#[inline(always)]
pub(super) const fn note(_steps: usize) {}

/// The lock of a queue is held from now on.
#[cfg(not(all(test, not(loom))))]
#[inline(always)]
pub(super) const fn note_locked() {}

#[cfg(all(test, not(loom)))]
pub(super) use counted::{note, note_locked, take};

#[cfg(all(test, not(loom)))]
mod counted {
    use std::cell::Cell;

    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub(in super::super) struct Steps {
        /// All.
        pub(in super::super) all: usize,
        /// The most while one lock was held.
        pub(in super::super) most_locked: usize,
        locked: usize,
    }

    thread_local! {
        static STEPS: Cell<Steps> = const { Cell::new(Steps { all: 0, most_locked: 0, locked: 0 }) };
    }

    pub(in super::super) fn note(steps: usize) {
        STEPS.with(|cell| {
            let mut now = cell.get();
            now.all += steps;
            now.locked += steps;
            now.most_locked = now.most_locked.max(now.locked);
            cell.set(now);
        });
    }

    pub(in super::super) fn note_locked() {
        STEPS.with(|cell| {
            cell.set(Steps {
                locked: 0,
                ..cell.get()
            });
        });
    }

    /// What this thread's decisions have done since this was asked last.
    pub(in super::super) fn take() -> Steps {
        STEPS.with(Cell::take)
    }
}
