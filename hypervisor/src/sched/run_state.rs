//! Whether a vCPU may run: one word that everybody who has a reason to stop or start it changes, and
//! from which exactly one of them learns that it made the difference.
//!
//! A vCPU is *runnable* while nothing holds it back: it is not down, not blocked, and nobody pauses it.
//! Reasons are independent of each other, so that a wake-up during a pause is not lost and a pause during
//! a block does not end it.
//!
//! The scheduler keeps vCPUs in queues under its own locks, and a change of this word and a move between
//! queues are two steps. Every change of "runnable" is therefore followed by a call that makes the
//! scheduler look at the word *again*, under its lock, and act on what it finds. Two such calls that
//! overtake each other do no harm: the later one sees the final word.
#![forbid(unsafe_code)]

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::model_fence;
/// What the guest is told that a vCPU is doing.
pub use guest_abi::time::RunState as Activity;

const DOWN: u64 = 1 << 0;
const BLOCKED: u64 = 1 << 1;
const RUNNING: u64 = 1 << 2;
const PAUSE_SHIFT: u32 = 16;
const PAUSE_ONE: u64 = 1 << PAUSE_SHIFT;
/// Nested pauses of one vCPU that are counted.
pub const MAX_PAUSES: u32 = u16::MAX as u32;
const PAUSES: u64 = (MAX_PAUSES as u64) << PAUSE_SHIFT;

/// What a change did to "runnable".
#[must_use = "the scheduler must hear of it"]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// Nothing.
    None,
    /// It may run now and could not before: [`wake`](super::Scheduler::wake) it.
    BecameRunnable,
    /// It may not run any more and could before: [`sleep`](super::Scheduler::sleep) it.
    BecameIdle,
}

/// A pause that can't be counted, or was never made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PauseError {
    /// [`MAX_PAUSES`] reached.
    TooMany,
    /// An end without a beginning.
    NotPaused,
}

/// The word.
#[derive(Debug)]
pub struct RunState(AtomicU64);

impl RunState {
    /// A vCPU that is down, as all are when made.
    #[must_use]
    pub fn down() -> Self {
        Self(AtomicU64::new(DOWN))
    }

    /// Whether nothing holds the vCPU back.
    #[must_use]
    pub fn is_runnable(&self) -> bool {
        is_runnable(self.0.load(Ordering::SeqCst))
    }

    /// Whether a processor runs the vCPU or has not yet saved what it ran.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.0.load(Ordering::SeqCst) & RUNNING != 0
    }

    /// Whether the vCPU is up.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.0.load(Ordering::SeqCst) & DOWN == 0
    }

    /// Whether the vCPU waits for an event.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.0.load(Ordering::SeqCst) & BLOCKED != 0
    }

    /// Whether the vCPU waits for an event and nothing else holds it back.
    #[must_use]
    pub fn is_only_blocked(&self) -> bool {
        self.0.load(Ordering::SeqCst) & (DOWN | BLOCKED | PAUSES) == BLOCKED
    }

    /// How many pauses hold.
    #[must_use]
    pub fn pauses(&self) -> u32 {
        pauses(self.0.load(Ordering::SeqCst))
    }

    /// What the guest is told.
    #[must_use]
    pub fn activity(&self) -> Activity {
        activity(self.0.load(Ordering::SeqCst))
    }

    /// What the guest is told when no processor has the vCPU any more.
    #[must_use]
    pub fn activity_when_stopped(&self) -> Activity {
        activity(self.0.load(Ordering::SeqCst) & !RUNNING)
    }

    /// Marks the vCPU as waiting. Its caller, on that vCPU's behalf, then looks once more for what it
    /// would wait for, and calls [`unblock`](Self::unblock) if it is there; whoever makes it be there
    /// calls `unblock` afterwards. One of the two sees the other.
    pub fn block(&self) -> Change {
        let change = self.change(|word| word | BLOCKED);
        // The look that follows must not come before.
        model_fence();
        change
    }

    /// Ends the wait, if there is one.
    pub fn unblock(&self) -> Change {
        // What was waited for has been changed by a locked instruction.
        model_fence();
        // Senders of events come here often and mostly find the vCPU awake.
        if self.0.load(Ordering::SeqCst) & BLOCKED == 0 {
            return Change::None;
        }
        self.change(|word| word & !BLOCKED)
    }

    /// Brings the vCPU up; says whether it was down.
    pub fn up(&self) -> (bool, Change) {
        let (before, change) = self.replace(|word| word & !DOWN);
        (before & DOWN != 0, change)
    }

    /// Takes the vCPU down; says whether it was up.
    pub fn take_down(&self) -> (bool, Change) {
        let (before, change) = self.replace(|word| word | DOWN);
        (before & DOWN == 0, change)
    }

    /// Adds a pause. The vCPU may still be running for a moment: see [`is_running`](Self::is_running).
    pub fn pause(&self) -> Result<Change, PauseError> {
        self.try_change(|word| {
            if pauses(word) == MAX_PAUSES {
                Err(PauseError::TooMany)
            } else {
                Ok(word + PAUSE_ONE)
            }
        })
    }

    /// Ends a pause.
    pub fn unpause(&self) -> Result<Change, PauseError> {
        self.try_change(|word| {
            if pauses(word) == 0 {
                Err(PauseError::NotPaused)
            } else {
                Ok(word - PAUSE_ONE)
            }
        })
    }

    /// Claims the vCPU for a processor, if it is runnable and no processor has it.
    #[must_use]
    pub fn start_running(&self) -> bool {
        self.try_update(|word| {
            (is_runnable(word) && word & RUNNING == 0)
                .then_some(word | RUNNING)
                .ok_or(())
        })
        .is_ok()
    }

    /// The processor has saved everything that it held of the vCPU. Says whether it is still runnable,
    /// in which case it goes back into a queue.
    #[must_use]
    pub fn stop_running(&self) -> bool {
        let (before, _) = self.replace(|word| word & !RUNNING);
        debug_assert!(before & RUNNING != 0);
        is_runnable(before)
    }

    fn change(&self, new: impl Fn(u64) -> u64) -> Change {
        self.replace(new).1
    }

    fn try_change<E>(&self, new: impl Fn(u64) -> Result<u64, E>) -> Result<Change, E> {
        self.try_update(new)
            .map(|(before, after)| Change::between(before, after))
    }

    fn replace(&self, new: impl Fn(u64) -> u64) -> (u64, Change) {
        let mut word = self.0.load(Ordering::SeqCst);
        loop {
            let after = new(word);
            match self
                .0
                .compare_exchange_weak(word, after, Ordering::SeqCst, Ordering::SeqCst)
            {
                Ok(_) => return (word, Change::between(word, after)),
                Err(now) => word = now,
            }
        }
    }

    fn try_update<E>(&self, new: impl Fn(u64) -> Result<u64, E>) -> Result<(u64, u64), E> {
        let mut word = self.0.load(Ordering::SeqCst);
        loop {
            let after = new(word)?;
            match self
                .0
                .compare_exchange_weak(word, after, Ordering::SeqCst, Ordering::SeqCst)
            {
                Ok(_) => return Ok((word, after)),
                Err(now) => word = now,
            }
        }
    }
}

const fn is_runnable(word: u64) -> bool {
    word & (DOWN | BLOCKED | PAUSES) == 0
}

/// A vCPU that may not run does not, whatever a processor still holds of it.
const fn activity(word: u64) -> Activity {
    if word & (DOWN | PAUSES) != 0 {
        Activity::Offline
    } else if word & BLOCKED != 0 {
        Activity::Blocked
    } else if word & RUNNING != 0 {
        Activity::Running
    } else {
        Activity::Runnable
    }
}

const fn pauses(word: u64) -> u32 {
    ((word & PAUSES) >> PAUSE_SHIFT) as u32
}

impl Change {
    const fn between(before: u64, after: u64) -> Self {
        match (is_runnable(before), is_runnable(after)) {
            (false, true) => Self::BecameRunnable,
            (true, false) => Self::BecameIdle,
            _ => Self::None,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn up() -> RunState {
        let state = RunState::down();
        assert_eq!(state.up(), (true, Change::BecameRunnable));
        state
    }

    #[test]
    fn a_new_vcpu_is_down_and_comes_up_once() {
        let state = RunState::down();
        assert_eq!(state.activity(), Activity::Offline);
        assert!(!state.start_running());
        assert_eq!(state.up(), (true, Change::BecameRunnable));
        assert_eq!(state.up(), (false, Change::None));
        assert_eq!(state.activity(), Activity::Runnable);
    }

    #[test]
    fn a_wake_up_during_a_pause_is_kept() {
        let state = up();
        assert_eq!(state.block(), Change::BecameIdle);
        assert_eq!(state.pause(), Ok(Change::None));
        assert_eq!(state.unblock(), Change::None);
        assert_eq!(state.unpause(), Ok(Change::BecameRunnable));
    }

    #[test]
    fn a_pause_does_not_end_a_block() {
        let state = up();
        assert_eq!(state.block(), Change::BecameIdle);
        assert_eq!(state.pause(), Ok(Change::None));
        assert_eq!(state.unpause(), Ok(Change::None));
        assert_eq!(state.activity(), Activity::Blocked);
        assert_eq!(state.unblock(), Change::BecameRunnable);
        assert_eq!(state.unblock(), Change::None);
    }

    #[test]
    fn pauses_nest_and_are_bounded() {
        let state = up();
        assert_eq!(state.unpause(), Err(PauseError::NotPaused));
        assert_eq!(state.pause(), Ok(Change::BecameIdle));
        for _ in 1..MAX_PAUSES {
            assert_eq!(state.pause(), Ok(Change::None));
        }
        assert_eq!(state.pause(), Err(PauseError::TooMany));
        assert_eq!(state.pauses(), MAX_PAUSES);
        for _ in 1..MAX_PAUSES {
            assert_eq!(state.unpause(), Ok(Change::None));
        }
        assert_eq!(state.unpause(), Ok(Change::BecameRunnable));
        assert_eq!(state.unpause(), Err(PauseError::NotPaused));
    }

    #[test]
    fn one_processor_has_it_at_a_time() {
        let state = up();
        assert!(state.start_running());
        assert!(!state.start_running());
        assert_eq!(state.activity(), Activity::Running);
        assert!(state.stop_running());
        assert!(state.start_running());
        assert_eq!(state.pause(), Ok(Change::BecameIdle));
        assert!(state.is_running());
        assert!(!state.stop_running());
        assert!(!state.start_running());
    }

    #[test]
    fn taking_down_is_separate_from_blocking() {
        let state = up();
        assert_eq!(state.block(), Change::BecameIdle);
        assert_eq!(state.take_down(), (true, Change::None));
        assert_eq!(state.take_down(), (false, Change::None));
        assert_eq!(state.unblock(), Change::None);
        assert!(!state.is_up());
        assert_eq!(state.up(), (true, Change::BecameRunnable));
    }
}
