//! System time: nanoseconds since the hypervisor started, from a processor's time stamp counter.
#![forbid(unsafe_code)]

use super::scale::TscScale;

/// A processor's clock: a reading of the counter, the system time then, and the rate since.
///
/// Processors whose counters agree share one reading, and so one system time. Where they don't, each has
/// its own, taken when the processor was started and compared with the first one's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SystemClock {
    /// The counter at `base_ns`.
    pub base_tsc: u64,
    /// System time at `base_tsc`, in nanoseconds.
    pub base_ns: u64,
    /// The counter's rate.
    pub scale: TscScale,
}

impl SystemClock {
    /// System time 0 is at `tsc`.
    #[must_use]
    pub const fn starting_at(tsc: u64, scale: TscScale) -> Self {
        Self {
            base_tsc: tsc,
            base_ns: 0,
            scale,
        }
    }

    /// System time when the counter read `tsc`, in nanoseconds. A reading before the base (of a
    /// processor that is a little behind) counts as the base.
    #[must_use]
    pub const fn ns_at(&self, tsc: u64) -> u64 {
        let ticks = tsc.saturating_sub(self.base_tsc);
        self.base_ns.saturating_add(self.scale.ticks_to_ns(ticks))
    }

    /// The first reading of the counter at which system time is at least `ns`. Saturates.
    #[must_use]
    pub const fn tsc_at(&self, ns: u64) -> u64 {
        let after = ns.saturating_sub(self.base_ns);
        self.base_tsc.saturating_add(self.scale.ns_to_ticks(after))
    }

    /// The same clock with its base at `tsc`. Guests extrapolate from the base with 64-bit arithmetic, so
    /// it is moved along every second or so; time is continuous across the move.
    #[must_use]
    pub const fn rebased(&self, tsc: u64) -> Self {
        let base_tsc = if tsc > self.base_tsc {
            tsc
        } else {
            self.base_tsc
        };
        Self {
            base_tsc,
            base_ns: self.ns_at(tsc),
            scale: self.scale,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_reading_before_the_base_is_the_base() {
        let clock = SystemClock {
            base_tsc: 1000,
            base_ns: 77,
            scale: TscScale::from_khz(2_000_000).expect("not zero"),
        };
        assert_eq!(clock.ns_at(0), 77);
        assert_eq!(clock.ns_at(1000), 77);
        assert_eq!(clock.ns_at(1002), 78);
        assert_eq!(clock.rebased(0), clock);
        assert_eq!(clock.ns_at(u64::MAX), 77 + ((u64::MAX - 1000) / 2));
    }

    proptest! {
        #[test]
        fn moving_the_base_loses_less_than_two_nanoseconds_and_never_gains(
            khz in 100_000u64..10_000_000,
            at in 0u64..1 << 45,
            later in 0u64..1 << 45
        ) {
            let clock = SystemClock::starting_at(500, TscScale::from_khz(khz).expect("in range"));
            let moved = clock.rebased(500 + at);
            let (direct, through) = (clock.ns_at(500 + at + later), moved.ns_at(500 + at + later));
            // Each base rounds down once, by a nanosecond and the ticks that a right shift drops.
            prop_assert!(through <= direct);
            prop_assert!(direct - through <= 3 + (1 << clock.scale.shift.unsigned_abs()));
        }

        #[test]
        fn a_deadline_in_ticks_is_not_early(khz in 100_000u64..10_000_000, ns in 0u64..1 << 50) {
            let clock = SystemClock {
                base_tsc: 12_345,
                base_ns: 1_000_000,
                scale: TscScale::from_khz(khz).expect("in range"),
            };
            prop_assert!(clock.ns_at(clock.tsc_at(ns)) >= ns);
        }
    }
}
