//! How a vCPU comes by its state: somebody sets it up, once; only then can it be brought up; and it is closed when its
//! state is to go.
#![forbid(unsafe_code)]

use super::run_state::{Change, RunState};
use crate::sync::atomic::{AtomicU8, Ordering};

/// It has no state yet, or none any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotSetUp;

/// What a vCPU is found to have by who [closes](Setup::close) it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// No state, and nobody sets it up.
    Nothing,
    /// Somebody sets it up just now: it is not closed, and the caller tries again.
    BeingSetUp,
    /// A state, which is the caller's to empty before it is [forgotten](Setup::forget).
    State,
}

/// No state.
const NONE: u8 = 0;
/// Somebody sets it up.
const CLAIMED: u8 = 1;
/// It has one. Who brings it up looks for this.
const DONE: u8 = 2;
/// It has one, which is to go.
const CLOSED: u8 = 3;

/// Whether a vCPU has a state.
#[derive(Debug)]
pub struct Setup(AtomicU8);

impl Setup {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self(AtomicU8::new(NONE))
    }

    fn go(&self, from: u8, to: u8) -> Result<u8, u8> {
        self.0
            .compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst)
    }

    /// The caller sets it up, unless somebody else does or has, and then says [`finish`](Self::finish).
    #[must_use]
    pub fn claim(&self) -> bool {
        self.go(NONE, CLAIMED).is_ok()
    }

    /// It has a state. By who has claimed it.
    pub fn finish(&self) {
        let was = self.go(CLAIMED, DONE);
        debug_assert!(
            was.is_ok(),
            "a vCPU is set up that nobody has claimed: {was:?}"
        );
    }

    /// Whether it has one.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.0.load(Ordering::Acquire) == DONE
    }

    /// Nobody may bring it up any more. Who closes it takes it down then: who was about to bring it up has done so before,
    /// or sees that it is closed.
    #[must_use]
    pub fn close(&self) -> Found {
        let found = match self.go(DONE, CLOSED) {
            Ok(_) | Err(CLOSED) => Found::State,
            Err(NONE) => Found::Nothing,
            Err(_) => Found::BeingSetUp,
        };
        crate::sync::model_fence();
        found
    }

    /// The state of a closed one is gone: somebody may set it up.
    pub fn forget(&self) {
        let was = self.go(CLOSED, NONE);
        debug_assert!(
            was.is_ok(),
            "a vCPU is forgotten that was not closed: {was:?}"
        );
    }

    /// Brings the vCPU up.
    ///
    /// # Errors
    /// It has no state. It may have been up for a moment, if that went meanwhile.
    pub fn bring_up(&self, run: &RunState) -> Result<Change, NotSetUp> {
        if !self.is_done() {
            return Err(NotSetUp);
        }
        let (_, change) = run.up();
        crate::sync::model_fence();
        if self.0.load(Ordering::SeqCst) != DONE {
            // The caller tells the scheduler, whatever was seen meanwhile.
            let _ = run.take_down();
            return Err(NotSetUp);
        }
        Ok(change)
    }
}

impl Default for Setup {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_vcpu_comes_up_once_it_has_a_state() {
        let (setup, run) = (Setup::new(), RunState::down());
        assert_eq!(setup.bring_up(&run), Err(NotSetUp));
        assert!(setup.claim());
        assert!(!setup.claim());
        assert_eq!(setup.bring_up(&run), Err(NotSetUp));
        setup.finish();
        assert_eq!(setup.bring_up(&run), Ok(Change::BecameRunnable));
        assert_eq!(setup.bring_up(&run), Ok(Change::None));
    }

    #[test]
    fn a_vcpu_that_is_closed_stays_down_until_it_is_set_up_anew() {
        let (setup, run) = (Setup::new(), RunState::down());
        assert!(setup.claim());
        setup.finish();
        assert_eq!(setup.close(), Found::State);
        assert_eq!(setup.close(), Found::State);
        assert_eq!(setup.bring_up(&run), Err(NotSetUp));
        assert!(!setup.claim());
        setup.forget();
        assert!(setup.claim());
    }

    #[test]
    fn a_vcpu_that_is_being_set_up_is_not_taken_from_who_does() {
        let setup = Setup::new();
        assert_eq!(setup.close(), Found::Nothing);
        assert!(setup.claim());
        assert_eq!(setup.close(), Found::BeingSetUp);
        assert!(!setup.claim());
        setup.finish();
        assert!(setup.is_done());
        assert_eq!(setup.close(), Found::State);
    }
}
