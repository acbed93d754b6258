//! How often a source may interrupt.
//!
//! An edge or a message is passed on at once and nothing stands between it and the next one: a device that is broken, or
//! whose driver is, can send them back to back, and a processor that takes one after the other does nothing else. So they
//! are counted. A source that comes more than [`MOST`] times within [`WINDOW_NS`] *rests*: it is masked, for one window
//! at first, and twice as long each time that it goes on like this, up to [`LONGEST_NS`]. After a rest its event is raised
//! once, because what came meanwhile may be lost. A source that has kept quiet for a whole window after a rest starts anew.
//!
//! The limit is far above what devices do that are worth having: they say once that there is work, and a guest that has
//! not looked yet is not told again. What a storm can take is [`MOST`] interrupts in each [`LONGEST_NS`] in the long run.
//!
//! Level lines need none of this. They are masked until the guest is done with each interrupt.

/// As many interrupts are let through in a window.
pub const MOST: u32 = 200;
/// How long interrupts are counted together, and the first rest.
pub const WINDOW_NS: u64 = 1_000_000;
/// The longest rest.
pub const LONGEST_NS: u64 = WINDOW_NS << 6;
/// How long a person is not told again of the same source.
const SILENCE_NS: u64 = 10_000_000_000;

/// Whether people are to be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Report {
    /// They are.
    Say,
    /// They know.
    Keep,
}

/// A source has come too often.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rest {
    /// Until when it is masked.
    pub until_ns: u64,
    /// How long that is.
    pub pause_ns: u64,
    /// Whether to say so.
    pub report: Report,
}

/// What is kept of one source.
#[derive(Clone, Copy, Debug)]
pub(super) struct Throttle {
    window_start_ns: u64,
    count: u32,
    /// The last rest, and when it ended or will; 0 for none that matters.
    pause_ns: u64,
    rests_until_ns: u64,
    said_ns: Option<u64>,
}

impl Throttle {
    /// Of a source that has not interrupted yet.
    pub(super) const fn new() -> Self {
        Self {
            window_start_ns: 0,
            count: 0,
            pause_ns: 0,
            rests_until_ns: 0,
            said_ns: None,
        }
    }

    /// Counts an interrupt.
    pub(super) fn count(&mut self, now_ns: u64) -> Option<Rest> {
        if now_ns.saturating_sub(self.window_start_ns) >= WINDOW_NS {
            self.window_start_ns = now_ns;
            self.count = 0;
        }
        self.count += 1;
        if self.count <= MOST {
            return None;
        }
        // Its first window since the last rest, or not.
        let goes_on =
            self.pause_ns != 0 && now_ns.saturating_sub(self.rests_until_ns) <= 2 * WINDOW_NS;
        self.pause_ns = if goes_on {
            (2 * self.pause_ns).min(LONGEST_NS)
        } else {
            WINDOW_NS
        };
        self.rests_until_ns = now_ns.saturating_add(self.pause_ns);
        self.count = 0;
        let is_known = self
            .said_ns
            .is_some_and(|said| now_ns.saturating_sub(said) < SILENCE_NS);
        let report = if is_known {
            Report::Keep
        } else {
            self.said_ns = Some(now_ns);
            Report::Say
        };
        Some(Rest {
            until_ns: self.rests_until_ns,
            pause_ns: self.pause_ns,
            report,
        })
    }

    /// When the rest ends that has begun last.
    pub(super) const fn rests_until_ns(&self) -> u64 {
        self.rests_until_ns
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Interrupts every `interval_ns` for `ns`, whenever it does not rest. How many were let through, and the rests.
    fn storm(interval_ns: u64, ns: u64) -> (u32, Vec<Rest>) {
        let (mut throttle, mut rests, mut count, mut now) = (Throttle::new(), Vec::new(), 0, 0);
        while now < ns {
            count += 1;
            now = match throttle.count(now) {
                None => now + interval_ns,
                Some(rest) => {
                    rests.push(rest);
                    rest.until_ns
                }
            };
        }
        (count, rests)
    }

    #[test]
    fn what_devices_do_is_never_held_back() {
        // 200000 in a second, evenly.
        let (count, rests) = storm(WINDOW_NS / u64::from(MOST), 1_000_000_000);
        assert_eq!((count, rests), (200_000, Vec::new()));
    }

    #[test]
    fn a_storm_gets_less_and_less() {
        let (count, rests) = storm(100, 1_000_000_000);
        let pauses: Vec<_> = rests.iter().map(|rest| rest.pause_ns / WINDOW_NS).collect();
        assert_eq!(pauses[..8], [1, 2, 4, 8, 16, 32, 64, 64]);
        assert!(pauses[8..].iter().all(|&pause| pause == 64));
        // A millionth of a second for each would take half a percent.
        assert!(count < 5_000, "{count} interrupts in a second");
        let said = rests.iter().filter(|rest| rest.report == Report::Say);
        assert_eq!(said.count(), 1);
    }

    #[test]
    fn who_has_kept_quiet_starts_anew() {
        let mut throttle = Throttle::new();
        let mut burst = |now: u64| (0..=MOST).find_map(|_| throttle.count(now));
        let first = burst(0).expect("too many");
        let second = burst(first.until_ns).expect("too many");
        assert_eq!(second.pause_ns, 2 * WINDOW_NS);
        let third = burst(second.until_ns + 3 * WINDOW_NS).expect("too many");
        assert_eq!(third.pause_ns, WINDOW_NS);
        assert_eq!(third.report, Report::Keep);
        let much_later = burst(third.until_ns + SILENCE_NS).expect("too many");
        assert_eq!(much_later.report, Report::Say);
    }

    #[test]
    fn the_end_of_time_is_no_exception() {
        let mut throttle = Throttle::new();
        let rest = (0..=MOST).find_map(|_| throttle.count(u64::MAX));
        assert_eq!(rest.expect("too many").until_ns, u64::MAX);
    }
}
