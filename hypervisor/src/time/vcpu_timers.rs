//! A vCPU's timers, as it sets them: what a request means, and when the timer interrupt is due.
//!
//! Nothing here knows a queue. Each method says what the caller does next: raise the timer's virtual
//! interrupt, set its entry in the [queue](super::queue) of a processor, or cancel it. Times are system
//! times in nanoseconds.
#![forbid(unsafe_code)]

use guest_abi::errno::Errno;

/// Shortest period of the periodic timer, in nanoseconds.
pub const MIN_PERIOD_NS: u64 = 1_000_000;
/// Longest period: a quarter of the range of system time.
pub const MAX_PERIOD_NS: u64 = u64::MAX >> 2;
/// A request by `set_timer_op` that lies further ahead than this is taken for an accident of arithmetic.
pub const FAR_AHEAD_NS: u64 = 1 << 50;
/// After which time such a request is due.
pub const ACCIDENT_DELAY_NS: u64 = 100_000_000;

/// What to do about a timer.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Set it to expire then, in the place of any earlier setting.
    Arm(u64),
    /// Cancel it, and raise the interrupt now: the time asked for has passed.
    RaiseNow,
    /// Cancel it.
    Disarm,
}

/// `VCPUOP_set_singleshot_timer`: a time in the past is due at once, be it asked to be in the future or
/// not. System times are signed to guests, so one with the highest bit set is long past.
pub const fn set_singleshot(timeout_abs_ns: u64, now_ns: u64) -> Action {
    if timeout_abs_ns > i64::MAX as u64 || timeout_abs_ns <= now_ns {
        Action::RaiseNow
    } else {
        Action::Arm(timeout_abs_ns)
    }
}

/// `set_timer_op`: the single-shot timer by its older name, in which zero means none and absurd values
/// mean soon.
pub const fn set_timer_op(timeout_abs_ns: u64, now_ns: u64) -> Action {
    if timeout_abs_ns == 0 {
        Action::Disarm
    } else if timeout_abs_ns > i64::MAX as u64
        || timeout_abs_ns.saturating_sub(now_ns) >= FAR_AHEAD_NS
    {
        Action::Arm(now_ns.saturating_add(ACCIDENT_DELAY_NS))
    } else if timeout_abs_ns <= now_ns {
        Action::RaiseNow
    } else {
        Action::Arm(timeout_abs_ns)
    }
}

/// The time-out of a poll: zero is none; one that has passed is to end the poll at once.
pub const fn poll_timeout(timeout_abs_ns: u64, now_ns: u64) -> Action {
    if timeout_abs_ns == 0 {
        Action::Disarm
    } else {
        set_singleshot(timeout_abs_ns, now_ns)
    }
}

/// What the periodic timer has to do now.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tick {
    /// Raise the interrupt.
    pub is_due: bool,
    /// Set the timer's entry to expire then; `None`: cancel it.
    pub next_ns: Option<u64>,
}

/// A vCPU's periodic timer. It ticks only while the vCPU runs; ticks missed meanwhile are made up for by
/// one when it runs again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Periodic {
    /// Zero: stopped.
    period_ns: u64,
    last_tick_ns: u64,
}

impl Periodic {
    /// `VCPUOP_set_periodic_timer`. If the vCPU runs, [`tick`](Self::tick) follows.
    pub const fn set(&mut self, period_ns: u64) -> Result<(), Errno> {
        if period_ns < MIN_PERIOD_NS || period_ns > MAX_PERIOD_NS {
            return Err(Errno::EINVAL);
        }
        self.period_ns = period_ns;
        Ok(())
    }

    /// `VCPUOP_stop_periodic_timer`. The timer's entry is to be cancelled.
    pub const fn stop(&mut self) {
        self.period_ns = 0;
    }

    /// To be called when the vCPU begins to run, and when the timer's entry expires while it runs. (When
    /// it stops running, cancel the entry.)
    pub const fn tick(&mut self, now_ns: u64) -> Tick {
        if self.period_ns == 0 {
            return Tick {
                is_due: false,
                next_ns: None,
            };
        }
        let is_due = now_ns >= self.last_tick_ns.saturating_add(self.period_ns);
        if is_due {
            self.last_tick_ns = now_ns;
        }
        Tick {
            is_due,
            next_ns: Some(self.last_tick_ns.saturating_add(self.period_ns)),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const NOW: u64 = 5_000_000_000;

    #[test]
    fn a_single_shot_in_the_past_is_due_at_once() {
        for past in [0, 1, NOW - 1, NOW, 1 << 63, u64::MAX] {
            assert_eq!(set_singleshot(past, NOW), Action::RaiseNow, "{past}");
        }
        for ahead in [NOW + 1, NOW + (1 << 55), i64::MAX as u64] {
            assert_eq!(set_singleshot(ahead, NOW), Action::Arm(ahead));
        }
    }

    #[test]
    fn the_older_call_stops_at_zero_and_clamps_the_absurd() {
        assert_eq!(set_timer_op(0, NOW), Action::Disarm);
        assert_eq!(set_timer_op(NOW, NOW), Action::RaiseNow);
        assert_eq!(set_timer_op(NOW + 1, NOW), Action::Arm(NOW + 1));
        let last_sane = NOW + FAR_AHEAD_NS - 1;
        assert_eq!(set_timer_op(last_sane, NOW), Action::Arm(last_sane));
        for absurd in [last_sane + 1, i64::MAX as u64, 1 << 63, u64::MAX] {
            assert_eq!(
                set_timer_op(absurd, NOW),
                Action::Arm(NOW + ACCIDENT_DELAY_NS)
            );
        }
    }

    #[test]
    fn a_poll_without_a_time_out_has_no_timer() {
        assert_eq!(poll_timeout(0, NOW), Action::Disarm);
        assert_eq!(poll_timeout(1, NOW), Action::RaiseNow);
        assert_eq!(poll_timeout(NOW + 9, NOW), Action::Arm(NOW + 9));
    }

    #[test]
    fn periods_have_bounds() {
        let mut timer = Periodic::default();
        for refused in [0, MIN_PERIOD_NS - 1, MAX_PERIOD_NS + 1, u64::MAX] {
            assert_eq!(timer.set(refused), Err(Errno::EINVAL));
        }
        assert_eq!(
            timer.tick(NOW),
            Tick {
                is_due: false,
                next_ns: None
            }
        );
        assert_eq!(timer.set(MAX_PERIOD_NS), Ok(()));
        assert_eq!(timer.set(MIN_PERIOD_NS), Ok(()));
    }

    #[test]
    fn a_running_vcpu_ticks_once_a_period_and_never_early() {
        let mut timer = Periodic::default();
        assert_eq!(timer.set(MIN_PERIOD_NS), Ok(()));
        let mut now = NOW;
        let mut next = timer.tick(now).next_ns.expect("runs");
        for late in [0, 7, 100] {
            assert!(!timer.tick(next - 1).is_due);
            now = next + late;
            let tick = timer.tick(now);
            assert!(tick.is_due);
            assert_eq!(tick.next_ns, Some(now + MIN_PERIOD_NS));
            next = now + MIN_PERIOD_NS;
        }
    }

    #[test]
    fn missed_ticks_are_made_up_for_by_one() {
        let mut timer = Periodic::default();
        assert_eq!(timer.set(MIN_PERIOD_NS), Ok(()));
        let _ = timer.tick(NOW);
        let back = NOW + 50 * MIN_PERIOD_NS;
        assert_eq!(
            timer.tick(back),
            Tick {
                is_due: true,
                next_ns: Some(back + MIN_PERIOD_NS)
            }
        );
        assert!(!timer.tick(back).is_due);
    }

    #[test]
    fn a_stopped_timer_does_not_tick() {
        let mut timer = Periodic::default();
        assert_eq!(timer.set(MIN_PERIOD_NS), Ok(()));
        let _ = timer.tick(NOW);
        timer.stop();
        assert_eq!(
            timer.tick(NOW * 2),
            Tick {
                is_due: false,
                next_ns: None
            }
        );
    }
}
