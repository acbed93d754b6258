//! The functions that the first domain has announced.

use super::Function;
use crate::sync::{Lock, const_unless_modelled, rank};
use alloc::collections::BTreeSet;

extern crate alloc;

/// The most that are remembered.
const MOST: usize = 4096;

/// Functions that are announced.
#[derive(Debug)]
pub struct Devices(Lock<BTreeSet<Function>, { rank::PCI_DEVICES }>);

impl Devices {
    const_unless_modelled! {
        /// None yet.
        pub fn new() -> Self {
            Self(Lock::new(BTreeSet::new()))
        }
    }

    /// A function is announced, perhaps once more. `false` if there are too many.
    #[must_use]
    pub fn add(&self, function: Function) -> bool {
        let mut known = self.0.lock();
        if known.len() >= MOST && !known.contains(&function) {
            return false;
        }
        known.insert(function);
        true
    }

    /// A function has gone. `false` if it was never announced.
    #[must_use]
    pub fn remove(&self, function: Function) -> bool {
        self.0.lock().remove(&function)
    }

    /// Whether a function is announced.
    #[must_use]
    pub fn contains(&self, function: Function) -> bool {
        self.0.lock().contains(&function)
    }
}

impl Default for Devices {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn function(number: usize) -> Function {
        Function {
            segment: 0,
            bus: (number >> 8) as u8,
            devfn: number as u8,
        }
    }

    #[test]
    fn what_was_announced_can_go_once() {
        let devices = Devices::new();
        assert!(!devices.remove(function(1)));
        assert!(devices.add(function(1)) && devices.add(function(1)));
        assert!(devices.contains(function(1)));
        assert!(devices.remove(function(1)));
        assert!(!devices.remove(function(1)));
    }

    #[test]
    fn there_is_a_limit() {
        let devices = Devices::new();
        assert!((0..MOST).all(|number| devices.add(function(number))));
        assert!(!devices.add(function(MOST)));
        assert!(devices.add(function(7)));
    }
}
