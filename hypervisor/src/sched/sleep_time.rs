//! For how long a processor has slept, the sleep that it is in included.
//!
//! One word, so that whoever looks sees a sum and whether the processor sleeps of the same moment.
#![forbid(unsafe_code)]

use crate::sync::atomic::{AtomicU64, Ordering};

/// The lowest bit: it sleeps.
const ASLEEP: u64 = 1;

/// Above the lowest bit: the sum of all sleeps in ns, less the system time when this one began if it sleeps.
#[derive(Debug)]
pub struct SleepTime(AtomicU64);

impl SleepTime {
    /// It has not slept.
    #[cfg(not(loom))]
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// It has not slept.
    #[cfg(loom)]
    #[must_use]
    pub fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// The calling processor, whose time this is, falls asleep.
    pub fn begin(&self, now_ns: u64) {
        let slept = self.0.load(Ordering::Relaxed) >> 1;
        let word = slept.wrapping_sub(now_ns) << 1 | ASLEEP;
        self.0.store(word, Ordering::Relaxed);
    }

    /// It is awake again.
    pub fn end(&self, now_ns: u64) {
        self.0.store(self.ns(now_ns) << 1, Ordering::Relaxed);
    }

    /// For how long it has slept, in ns.
    #[must_use]
    pub fn ns(&self, now_ns: u64) -> u64 {
        let word = self.0.load(Ordering::Relaxed);
        if word & ASLEEP == 0 {
            return word >> 1;
        }
        // Who looks from elsewhere may have asked for the time before this one fell asleep: the sum of 63 bits is then a
        // little less than nothing.
        let twice = (word & !ASLEEP).wrapping_add(now_ns << 1) as i64;
        u64::try_from(twice >> 1).unwrap_or(0)
    }
}

impl Default for SleepTime {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_sleep_that_has_not_ended_counts() {
        let time = SleepTime::new();
        assert_eq!(time.ns(1000), 0);
        time.begin(1000);
        assert_eq!(time.ns(1000), 0);
        assert_eq!(time.ns(1700), 700);
        // Looked at with a time from before it fell asleep.
        assert_eq!(time.ns(990), 0);
        time.end(2000);
        assert_eq!(time.ns(5000), 1000);
        time.begin(5000);
        assert_eq!(time.ns(5001), 1001);
        assert_eq!(time.ns(4990), 990);
        time.end(5500);
        assert_eq!(time.ns(u64::MAX >> 2), 1500);
    }
}
