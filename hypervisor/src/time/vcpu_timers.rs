//! A vCPU's timers, as it sets them: what a request means, and when the timer interrupt is due.
//!
//! Nothing here knows a queue. Each method says what the caller does next: raise the timer's virtual
//! interrupt, set its entry in the [queue](super::queue) of a processor, or cancel it. Times are system
//! times in nanoseconds.
#![forbid(unsafe_code)]

use super::scale::NS_PER_SECOND;
use core::fmt;
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

/// What has become due of a vCPU's timers.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Due {
    /// The timer's virtual interrupt is to be raised.
    pub interrupt: bool,
    /// The time of its poll is over.
    pub poll: bool,
}

impl Due {
    const INTERRUPT: Self = Self {
        interrupt: true,
        poll: false,
    };
    const NOTHING: Self = Self {
        interrupt: false,
        poll: false,
    };
}

/// The period with which a vCPU's timer ticks until its kernel sets or stops it, in nanoseconds.
pub const FIRST_PERIOD_NS: u64 = 10_000_000;

/// All timers of one vCPU. The periodic one, which every turn starts and stops, is looked after by the processor that runs the
/// vCPU ([`next_tick_ns`](Self::next_tick_ns)), the others by one entry in a [queue](super::queue): that of the processor that
/// runs the vCPU or ran it last. After each change the entry is set to [`next_set_ns`](Self::next_set_ns).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VcpuTimers {
    single_ns: Option<u64>,
    poll_ns: Option<u64>,
    periodic: Periodic,
    /// `None` while the vCPU does not run.
    next_tick_ns: Option<u64>,
    is_running: bool,
}

impl VcpuTimers {
    /// Those of a new vCPU.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            single_ns: None,
            poll_ns: None,
            periodic: Periodic {
                period_ns: FIRST_PERIOD_NS,
                last_tick_ns: 0,
            },
            next_tick_ns: None,
            is_running: false,
        }
    }

    /// When the next one is due.
    #[must_use]
    pub const fn next_ns(&self) -> Option<u64> {
        earliest(self.next_set_ns(), self.next_tick_ns)
    }

    /// When the next one is due of those that were set for a time.
    #[must_use]
    pub const fn next_set_ns(&self) -> Option<u64> {
        earliest(self.single_ns, self.poll_ns)
    }

    /// When the periodic one is due. Only while the vCPU runs.
    #[must_use]
    pub const fn next_tick_ns(&self) -> Option<u64> {
        self.next_tick_ns
    }

    /// Does with the single-shot timer what one of the requests above came to.
    pub const fn set_single(&mut self, action: Action) -> Due {
        match action {
            Action::Arm(at_ns) => self.single_ns = Some(at_ns),
            Action::Disarm => self.single_ns = None,
            Action::RaiseNow => {
                self.single_ns = None;
                return Due::INTERRUPT;
            }
        }
        Due::NOTHING
    }

    /// When the vCPU's poll ends at the latest, if it has an end.
    pub const fn set_poll(&mut self, at_ns: Option<u64>) {
        self.poll_ns = at_ns;
    }

    /// `VCPUOP_set_periodic_timer`.
    pub const fn set_period(&mut self, period_ns: u64, now_ns: u64) -> Result<Due, Errno> {
        match self.periodic.set(period_ns) {
            Ok(()) if self.is_running => Ok(self.tick(now_ns)),
            Ok(()) => Ok(Due::NOTHING),
            Err(errno) => Err(errno),
        }
    }

    /// `VCPUOP_stop_periodic_timer`.
    pub const fn stop_period(&mut self) {
        self.periodic.stop();
        self.next_tick_ns = None;
    }

    /// The vCPU begins to run. It does not poll any more, then.
    pub const fn begin_running(&mut self, now_ns: u64) -> Due {
        self.is_running = true;
        self.poll_ns = None;
        self.tick(now_ns)
    }

    /// The vCPU ceases to run.
    pub const fn stop_running(&mut self) {
        self.is_running = false;
        self.next_tick_ns = None;
    }

    /// The entry has expired, or the periodic one is due.
    pub fn expire(&mut self, now_ns: u64) -> Due {
        let take = |deadline_ns: &mut Option<u64>| {
            deadline_ns
                .take_if(|deadline_ns| *deadline_ns <= now_ns)
                .is_some()
        };
        let single = take(&mut self.single_ns);
        let poll = take(&mut self.poll_ns);
        let tick = self.is_running && self.tick(now_ns).interrupt;
        Due {
            interrupt: single || tick,
            poll,
        }
    }

    const fn tick(&mut self, now_ns: u64) -> Due {
        let tick = self.periodic.tick(now_ns);
        self.next_tick_ns = tick.next_ns;
        Due {
            interrupt: tick.is_due,
            poll: false,
        }
    }
}

const fn earliest(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(first), Some(second)) if second < first => b,
        (Some(_), _) => a,
        (None, _) => b,
    }
}

/// For a person to read.
impl fmt::Display for VcpuTimers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |f: &mut fmt::Formatter<'_>, name, at_ns: Option<u64>| match at_ns {
            Some(ns) => write!(
                f,
                "{name} {}.{:06} s",
                ns / NS_PER_SECOND,
                ns / 1000 % 1_000_000
            ),
            None => write!(f, "{name} never"),
        };
        at(f, "single shot", self.single_ns)?;
        at(f, ", end of poll", self.poll_ns)?;
        match self.periodic.period_ns {
            0 => f.write_str(", no ticks"),
            ns => {
                write!(f, ", ticks every {} us,", ns / 1000)?;
                at(f, " next", self.next_tick_ns)
            }
        }
    }
}

impl Default for VcpuTimers {
    fn default() -> Self {
        Self::new()
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

    #[test]
    fn the_next_of_all_timers_counts() {
        let mut timers = VcpuTimers::new();
        timers.stop_period();
        assert_eq!(timers.next_ns(), None);
        assert_eq!(timers.set_single(Action::Arm(NOW + 10)), Due::NOTHING);
        timers.set_poll(Some(NOW + 5));
        assert_eq!(timers.next_ns(), Some(NOW + 5));
        assert_eq!(timers.expire(NOW + 4), Due::NOTHING);
        let due = timers.expire(NOW + 5);
        assert_eq!((due.poll, due.interrupt), (true, false));
        assert_eq!(timers.next_ns(), Some(NOW + 10));
        assert_eq!(timers.expire(NOW + 11), Due::INTERRUPT);
        assert_eq!(timers.expire(NOW + 11), Due::NOTHING, "it fires once");
        assert_eq!(timers.next_ns(), None);
    }

    #[test]
    fn a_single_shot_is_replaced_or_taken_back() {
        let mut timers = VcpuTimers::new();
        assert_eq!(timers.set_single(Action::Arm(NOW)), Due::NOTHING);
        assert_eq!(timers.set_single(Action::Disarm), Due::NOTHING);
        assert_eq!(timers.next_ns(), None);
        assert_eq!(timers.set_single(Action::Arm(NOW)), Due::NOTHING);
        assert_eq!(timers.set_single(Action::RaiseNow), Due::INTERRUPT);
        assert_eq!(timers.next_ns(), None);
    }

    #[test]
    fn ticks_come_only_while_the_vcpu_runs_from_the_start() {
        let mut timers = VcpuTimers::new();
        assert_eq!(timers.next_ns(), None, "it does not run");
        assert_eq!(timers.begin_running(NOW), Due::INTERRUPT);
        assert_eq!(timers.next_ns(), Some(NOW + FIRST_PERIOD_NS));
        timers.stop_running();
        assert_eq!(timers.next_ns(), None);
        let late = NOW + 7 * FIRST_PERIOD_NS;
        assert_eq!(timers.expire(late), Due::NOTHING);
        assert_eq!(timers.begin_running(late), Due::INTERRUPT);
        assert_eq!(timers.expire(late + FIRST_PERIOD_NS), Due::INTERRUPT);
        assert_eq!(
            timers.set_period(MIN_PERIOD_NS - 1, late),
            Err(Errno::EINVAL)
        );
        timers.stop_period();
        assert_eq!(timers.next_ns(), None);
        assert_eq!(
            timers.set_period(MIN_PERIOD_NS, late + 2 * FIRST_PERIOD_NS),
            Ok(Due::INTERRUPT)
        );
        timers.stop_running();
        assert_eq!(timers.set_period(MIN_PERIOD_NS, late), Ok(Due::NOTHING));
    }

    #[test]
    fn people_can_read_them() {
        let mut timers = VcpuTimers::new();
        timers.set_poll(Some(1_000_002_003_000));
        assert_eq!(
            timers.to_string(),
            "single shot never, end of poll 1000.002003 s, ticks every 10000 us, next never"
        );
        timers.stop_period();
        timers.set_poll(None);
        assert_eq!(
            timers.to_string(),
            "single shot never, end of poll never, no ticks"
        );
    }

    #[test]
    fn running_ends_a_poll() {
        let mut timers = VcpuTimers::new();
        timers.stop_period();
        timers.set_poll(Some(NOW));
        assert_eq!(timers.begin_running(NOW - 1), Due::NOTHING);
        assert_eq!(timers.next_ns(), None);
        assert_eq!(timers.expire(NOW), Due::NOTHING);
    }
}
