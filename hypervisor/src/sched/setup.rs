//! How a vCPU comes by its state: somebody sets it up, once; only then can it be brought up; and it is closed when its
//! state is to go.
#![forbid(unsafe_code)]

use super::run_state::{Change, RunState};
use crate::sync::atomic::{AtomicBool, Ordering};

/// It has no state yet, or none any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotSetUp;

/// Whether a vCPU has a state.
#[derive(Debug)]
pub struct Setup {
    /// Somebody sets it up, or has.
    is_claimed: AtomicBool,
    /// It has one. Not before: who brings it up looks here.
    is_done: AtomicBool,
}

impl Setup {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            is_claimed: AtomicBool::new(false),
            is_done: AtomicBool::new(false),
        }
    }

    /// The caller sets it up, unless somebody else does or has, and then says [`finish`](Self::finish).
    #[must_use]
    pub fn claim(&self) -> bool {
        !self.is_claimed.swap(true, Ordering::AcqRel)
    }

    /// It has a state.
    pub fn finish(&self) {
        self.is_done.store(true, Ordering::Release);
    }

    /// Whether it has one.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.is_done.load(Ordering::Acquire)
    }

    /// Nobody may bring it up any more. Who closes it takes it down then: who was about to bring it up has done so before,
    /// or sees that it is closed.
    pub fn close(&self) {
        self.is_done.store(false, Ordering::SeqCst);
        crate::sync::model_fence();
    }

    /// Its state is gone: somebody may set it up.
    pub fn forget(&self) {
        self.is_claimed.store(false, Ordering::Release);
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
        if !self.is_done.load(Ordering::SeqCst) {
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
        setup.close();
        assert_eq!(setup.bring_up(&run), Err(NotSetUp));
        assert!(!setup.claim());
        setup.forget();
        assert!(setup.claim());
    }
}
