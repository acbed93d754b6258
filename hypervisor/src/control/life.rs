//! How far a domain's life has come. It only goes forward.
#![forbid(unsafe_code)]

use crate::sync::atomic::{AtomicU8, Ordering};

/// A time of life.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Stage {
    /// Being built, running or shut down.
    Alive = 0,
    /// Being destroyed: nothing of it runs again, and it gets nothing more.
    Dying = 1,
    /// It holds nothing any more, but others hold something of it. With the last of that it is gone.
    Dead = 2,
}

/// A domain's stage.
#[derive(Debug)]
pub struct Life(AtomicU8);

impl Life {
    /// Alive.
    #[must_use]
    pub fn new() -> Self {
        Self(AtomicU8::new(Stage::Alive as u8))
    }

    /// The stage.
    #[must_use]
    pub fn stage(&self) -> Stage {
        match self.0.load(Ordering::SeqCst) {
            0 => Stage::Alive,
            1 => Stage::Dying,
            _ => Stage::Dead,
        }
    }

    /// Whether it is being, or has been, destroyed.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.stage() != Stage::Alive
    }

    /// Goes on to `stage`, if that is later. Says whether it is.
    pub fn advance(&self, stage: Stage) -> bool {
        self.0.fetch_max(stage as u8, Ordering::SeqCst) < stage as u8
    }
}

impl Default for Life {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn life_goes_forward_only() {
        let life = Life::new();
        assert!(!life.is_ending());
        assert!(life.advance(Stage::Dying));
        assert!(!life.advance(Stage::Dying));
        assert!(life.advance(Stage::Dead));
        assert!(!life.advance(Stage::Dying));
        assert_eq!(life.stage(), Stage::Dead);
    }
}
