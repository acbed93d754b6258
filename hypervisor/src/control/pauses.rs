//! How often tools have paused a domain. Pauses nest: it goes on when each has been ended.
#![forbid(unsafe_code)]

use crate::sync::atomic::{AtomicU32, Ordering};

/// Pauses that are counted.
pub const MAX_PAUSES: u32 = 255;

/// A pause that can't be counted, or was never made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PauseError {
    /// [`MAX_PAUSES`] reached.
    TooMany,
    /// An end without a beginning.
    NotPaused,
}

/// What a change of the count means for the domain.
#[must_use = "the domain's vCPUs must follow"]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Edge {
    /// It is paused as before, or runs as before.
    None,
    /// This was the first pause, or the end of the last one.
    Changed,
}

/// The count.
#[derive(Debug)]
pub struct Pauses(AtomicU32);

impl Pauses {
    /// Paused once, as a domain begins.
    #[must_use]
    pub fn once() -> Self {
        Self(AtomicU32::new(1))
    }

    /// Not paused.
    #[must_use]
    pub fn none() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Whether there is a pause.
    #[must_use]
    pub fn any(&self) -> bool {
        self.0.load(Ordering::Acquire) != 0
    }

    /// One more.
    ///
    /// # Errors
    /// [`PauseError::TooMany`].
    pub fn add(&self) -> Result<Edge, PauseError> {
        let was = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| {
                (count < MAX_PAUSES).then_some(count + 1)
            });
        match was {
            Ok(0) => Ok(Edge::Changed),
            Ok(_) => Ok(Edge::None),
            Err(_) => Err(PauseError::TooMany),
        }
    }

    /// One less.
    ///
    /// # Errors
    /// [`PauseError::NotPaused`].
    pub fn end(&self) -> Result<Edge, PauseError> {
        let was = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| {
                count.checked_sub(1)
            });
        match was {
            Ok(1) => Ok(Edge::Changed),
            Ok(_) => Ok(Edge::None),
            Err(_) => Err(PauseError::NotPaused),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn pauses_nest() {
        let pauses = Pauses::none();
        assert_eq!(pauses.end(), Err(PauseError::NotPaused));
        assert_eq!(pauses.add(), Ok(Edge::Changed));
        assert_eq!(pauses.add(), Ok(Edge::None));
        assert_eq!(pauses.end(), Ok(Edge::None));
        assert!(pauses.any());
        assert_eq!(pauses.end(), Ok(Edge::Changed));
        assert!(!pauses.any());
    }

    #[test]
    fn a_new_domain_is_paused_once() {
        let pauses = Pauses::once();
        assert_eq!(pauses.end(), Ok(Edge::Changed));
        assert_eq!(pauses.end(), Err(PauseError::NotPaused));
    }

    #[test]
    fn the_count_is_bounded() {
        let pauses = Pauses::none();
        for _ in 0..MAX_PAUSES {
            assert!(pauses.add().is_ok());
        }
        assert_eq!(pauses.add(), Err(PauseError::TooMany));
        assert_eq!(pauses.end(), Ok(Edge::None));
        assert!(pauses.add().is_ok());
    }
}
