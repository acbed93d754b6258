//! Which messages are printed: those that are important enough always, less important ones as long as there
//! are not too many. Messages that guests cause have thresholds of their own.

#![forbid(unsafe_code)]

use crate::lock::IrqLock;
use crate::options::{LogLevel, LogThreshold};
use crate::sync::rank;
use core::sync::atomic::{AtomicU8, Ordering};
use log::Level;

/// Messages that are printed in one interval, of those whose number is limited.
const BURST: u32 = 10;
/// Length of an interval, ns.
const INTERVAL_NS: u64 = 5_000_000_000;

/// One class of messages: its thresholds, and what has been printed lately.
pub(super) struct Class {
    always: AtomicU8,
    rate_limited: AtomicU8,
    limit: IrqLock<RateLimit, { rank::CONSOLE_LIMIT }>,
}

impl Class {
    pub(super) const fn new(threshold: LogThreshold) -> Self {
        Self {
            always: AtomicU8::new(threshold.always as u8),
            rate_limited: AtomicU8::new(threshold.rate_limited as u8),
            limit: IrqLock::new(RateLimit::new()),
        }
    }

    pub(super) fn set(&self, threshold: LogThreshold) {
        self.always.store(threshold.always as u8, Ordering::Relaxed);
        self.rate_limited
            .store(threshold.rate_limited as u8, Ordering::Relaxed);
    }

    /// Whether a message of `level` may be printed at all.
    pub(super) fn may_print(&self, level: Level) -> bool {
        importance(level) as u8 <= self.rate_limited.load(Ordering::Relaxed)
    }

    /// What becomes of a message of `level` at `now_ns`.
    pub(super) fn admit(&self, level: Level, now_ns: u64) -> Admission {
        if importance(level) as u8 <= self.always.load(Ordering::Relaxed) {
            Admission::Print { nr_dropped: 0 }
        } else if self.may_print(level) {
            self.limit.lock().admit(now_ns)
        } else {
            Admission::Drop
        }
    }
}

const fn importance(level: Level) -> LogLevel {
    match level {
        Level::Error => LogLevel::Error,
        Level::Warn => LogLevel::Warning,
        Level::Info => LogLevel::Info,
        Level::Debug | Level::Trace => LogLevel::Debug,
    }
}

/// What becomes of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Admission {
    /// It is printed, and `nr_dropped` before it were not.
    Print { nr_dropped: u32 },
    /// It is not printed.
    Drop,
}

/// [`BURST`] messages in each interval of [`INTERVAL_NS`]; the others are counted.
struct RateLimit {
    interval_start_ns: u64,
    nr_printed: u32,
    nr_dropped: u32,
}

impl RateLimit {
    const fn new() -> Self {
        Self {
            interval_start_ns: 0,
            nr_printed: 0,
            nr_dropped: 0,
        }
    }

    fn admit(&mut self, now_ns: u64) -> Admission {
        if now_ns.saturating_sub(self.interval_start_ns) >= INTERVAL_NS {
            self.interval_start_ns = now_ns;
            self.nr_printed = 0;
        }
        if self.nr_printed >= BURST {
            self.nr_dropped = self.nr_dropped.saturating_add(1);
            return Admission::Drop;
        }
        self.nr_printed += 1;
        Admission::Print {
            nr_dropped: core::mem::take(&mut self.nr_dropped),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{Admission, BURST, Class, INTERVAL_NS};
    use crate::options::{LogLevel, LogThreshold};
    use log::Level;

    const PRINT: Admission = Admission::Print { nr_dropped: 0 };

    fn class(always: LogLevel, rate_limited: LogLevel) -> Class {
        Class::new(LogThreshold {
            always,
            rate_limited,
        })
    }

    #[test]
    fn important_messages_are_never_dropped() {
        let class = class(LogLevel::Warning, LogLevel::Info);
        for _ in 0..10 * BURST {
            assert_eq!(class.admit(Level::Error, 7), PRINT);
            assert_eq!(class.admit(Level::Warn, 7), PRINT);
        }
    }

    #[test]
    fn messages_above_both_levels_are_dropped() {
        let class = class(LogLevel::None, LogLevel::Warning);
        for level in [Level::Info, Level::Debug, Level::Trace] {
            assert!(!class.may_print(level));
            assert_eq!(class.admit(level, 7), Admission::Drop);
        }
        // And they do not count as dropped for being too many.
        assert_eq!(class.admit(Level::Warn, 7), PRINT);
    }

    #[test]
    fn between_the_levels_so_many_are_printed_in_an_interval_and_the_others_counted() {
        let class = class(LogLevel::Error, LogLevel::Debug);
        let start = 3 * INTERVAL_NS;
        for second in 0..u64::from(BURST) {
            assert_eq!(class.admit(Level::Info, start + second), PRINT);
        }
        for _ in 0..3 {
            let last = start + INTERVAL_NS - 1;
            assert_eq!(class.admit(Level::Debug, last), Admission::Drop);
        }
        assert_eq!(class.admit(Level::Error, start + INTERVAL_NS - 1), PRINT);
        let later = start + INTERVAL_NS;
        assert_eq!(
            class.admit(Level::Info, later),
            Admission::Print { nr_dropped: 3 }
        );
        assert_eq!(class.admit(Level::Info, later), PRINT);
    }

    #[test]
    fn new_thresholds_count_from_then_on() {
        let class = class(LogLevel::Debug, LogLevel::Debug);
        assert_eq!(class.admit(Level::Debug, 0), PRINT);
        class.set(LogThreshold {
            always: LogLevel::None,
            rate_limited: LogLevel::None,
        });
        assert_eq!(class.admit(Level::Error, 0), Admission::Drop);
    }
}
