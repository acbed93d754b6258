//! A domain's share of the processors: what its weight makes a nanosecond cost, and how much its cap leaves it.
//!
//! # Weight
//! What a vCPU has run is counted in *charges*: nanoseconds times the number of its domain's vCPUs that want to run,
//! divided by the domain's weight. Whoever has been charged least is owed most. How many vCPUs want to run is an
//! average, renewed every [`ACCOUNTING_NS`] by whichever processor charges one of them then: it looks at one word. One that does not
//! want to run is charged, when it comes back, for what the others of its domain have run meanwhile, so that a domain whose
//! vCPUs take turns has no more than one that has a single one. The first domain's are not.
//!
//! # Cap
//! The budget fills as time passes and holds what the cap allows in [`DEPTH_NS`]. A vCPU takes a *grant* of it before it runs and runs
//! no longer; what it has not used goes back. So a domain runs evenly, and what it could not use for a moment is not lost.
//! No grant is more than what the cap leaves of a [window] of time, either: in none of them a domain runs for
//! longer than its cap allows, on however many processors it is. The budget fills by so much less than the cap that who runs evenly
//! hardly meets this limit: by 1.3 %. When there is nothing to take, its vCPUs are parked, the first until there is what the cap allows in
//! [`RESUME_NS`], each of the others until a moment after the one before.
//!
//! [window]: super::window
#![forbid(unsafe_code)]

use super::window::{COUNTS_NS, LONGEST_GRANT_NS, WINDOW_NS, Window};
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::sync::{Lock, rank};

/// Weight of a domain for which nothing else is said.
pub const DEFAULT_WEIGHT: u16 = 256;
/// How often the number of vCPUs that want to run is averaged.
pub(super) const ACCOUNTING_NS: u64 = 30_000_000;
/// For how long a budget holds what the cap allows.
const DEPTH_NS: u64 = 120_000_000;
/// By so much of a [window](WINDOW_NS) a budget fills less than its grants count for: who had to wait can make up for that in it.
const SPARE_NS: u64 = 2_000_000;
/// By `FILL / FILL_UNIT` a budget fills in a nanosecond, for a percent of cap; so that a second, and the largest cap, fit.
const FILL: u64 = WINDOW_NS / 1_000_000;
const FILL_UNIT: u64 = 100 * (COUNTS_NS + SPARE_NS) / 1_000_000;
/// For how long the cap has to allow for when vCPUs go on.
const RESUME_NS: u64 = 1_000_000;
/// More than this of others' running makes no difference to who was away: what it is owed is bounded.
const MOST_AWAY_NS: u64 = 1 << 36;
/// An average over so long is of no use any more.
const STALE_NS: u64 = 10 * ACCOUNTING_NS;
/// The shortest grant, unless the cap is so low that there is never so much.
const SHORTEST_GRANT_NS: u64 = 50_000;

/// Bits of the number of vCPUs in [`Share::wanting`] and [`Share::running`]; above them is a sum of times.
const COUNT_BITS: u32 = 16;
/// A sum of times is known but for multiples of this.
const RAN_AGAIN_NS: u64 = 1 << (u64::BITS - COUNT_BITS);
/// Fractional bits of an average number of vCPUs.
const SPREAD_BITS: u32 = 8;
/// Fractional bits of a price.
const PRICE_BITS: u32 = 24;
/// A price at weight 1 for one vCPU: what is charged for a nanosecond at [`DEFAULT_WEIGHT`] has four more bits.
const BASE_PRICE_BITS: u32 = PRICE_BITS + 8 + 4;
/// What a nanosecond costs a domain with one vCPU and [`DEFAULT_WEIGHT`].
pub(super) const USUAL_PRICE: u64 = 1 << (BASE_PRICE_BITS - PRICE_BITS - 8);

/// What a domain's budget allows a vCPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Grant {
    /// There is no cap.
    Unlimited,
    /// To run for so many nanoseconds.
    For(u64),
    /// Nothing before this system time, in ns.
    NotBefore(u64),
}

#[derive(Debug)]
struct Budget {
    left_ns: i64,
    filled_ns: u64,
    /// When the last of those goes on that were told to wait.
    last_turn_ns: u64,
    window: Window,
}

/// A domain's share.
#[derive(Debug)]
pub struct Share {
    weight: AtomicU32,
    cap: AtomicU32,
    is_first: bool,
    /// How many of its vCPUs want to run, and the sum of times when they stopped wanting less those when they began:
    /// with the number times now it is for how long they have wanted to. One word, so that both are of one moment.
    wanting: AtomicU64,
    /// The sum at the last accounting, which was at `accounted_ns`.
    accounted: AtomicU64,
    pub(super) accounted_ns: AtomicU64,
    /// The most vCPUs that wanted to run at a time since the last accounting.
    most_wanting: AtomicU32,
    /// The average number of vCPUs that want to run, at least one.
    spread: AtomicU32,
    /// What is charged for a nanosecond.
    price: AtomicU64,
    /// How many of its vCPUs run, and the sum of times when they stopped less those when they began, as in `wanting`.
    running: AtomicU64,
    budget: Lock<Budget, { rank::SHARE }>,
}

impl Share {
    /// That of a domain for which nothing is said.
    #[must_use]
    pub fn new() -> Self {
        let share = Self {
            weight: AtomicU32::new(u32::from(DEFAULT_WEIGHT)),
            cap: AtomicU32::new(0),
            is_first: false,
            wanting: AtomicU64::new(0),
            accounted: AtomicU64::new(0),
            accounted_ns: AtomicU64::new(0),
            most_wanting: AtomicU32::new(0),
            spread: AtomicU32::new(1 << SPREAD_BITS),
            price: AtomicU64::new(0),
            running: AtomicU64::new(0),
            budget: Lock::new(Budget {
                left_ns: 0,
                filled_ns: 0,
                last_turn_ns: 0,
                window: Window::new(),
            }),
        };
        share.set_price();
        share
    }

    /// That of the first domain: those of its vCPUs that are woken under their share go before others'.
    #[must_use]
    pub fn of_first_domain() -> Self {
        Self {
            is_first: true,
            ..Self::new()
        }
    }

    pub(super) fn is_first(&self) -> bool {
        self.is_first
    }

    /// Its weight, at least 1.
    #[must_use]
    pub fn weight(&self) -> u16 {
        self.weight.load(Ordering::Relaxed) as u16
    }

    /// Changes its weight; 0 counts as 1.
    pub fn set_weight(&self, weight: u16) {
        self.weight
            .store(u32::from(weight.max(1)), Ordering::Relaxed);
        self.set_price();
    }

    /// How much of one processor it may use, in percent; 0 for all that there is.
    #[must_use]
    pub fn cap(&self) -> u16 {
        self.cap.load(Ordering::Relaxed) as u16
    }

    /// Changes its cap. A vCPU that runs notices at its next tick.
    pub fn set_cap(&self, percent: u16) {
        self.cap.store(u32::from(percent), Ordering::Relaxed);
    }

    fn set_price(&self) {
        let made_of = || {
            let spread = u64::from(self.spread.load(Ordering::Relaxed));
            (spread, u64::from(self.weight.load(Ordering::Relaxed)))
        };
        let mut from = made_of();
        loop {
            let (spread, weight) = from;
            let price = (spread << (BASE_PRICE_BITS - SPREAD_BITS)) / weight;
            // Whoever stores last has seen what the others had changed before they stored, and looks again.
            self.price.swap(price, Ordering::AcqRel);
            let now = made_of();
            if now == from {
                return;
            }
            from = now;
        }
    }

    /// What is charged for so many nanoseconds.
    pub(super) fn charge(&self, ns: u64) -> u64 {
        let price = self.price.load(Ordering::Relaxed);
        ((u128::from(ns) * u128::from(price)) >> PRICE_BITS) as u64
    }

    /// One of its vCPUs begins to run.
    pub(super) fn begin_running(&self, now_ns: u64) {
        let change = 0u64.wrapping_sub(now_ns) << COUNT_BITS | 1;
        self.running.fetch_add(change, Ordering::Relaxed);
    }

    /// One that ran has stopped.
    pub(super) fn end_running(&self, then_ns: u64) {
        let change = (then_ns << COUNT_BITS).wrapping_sub(1);
        self.running.fetch_add(change, Ordering::Relaxed);
    }

    /// For how long its vCPUs have run, together, those included that run now, but for a multiple of [`RAN_AGAIN_NS`].
    pub(super) fn ran_ns(&self, now_ns: u64) -> u64 {
        let word = self.running.load(Ordering::Relaxed);
        let count = word & ((1 << COUNT_BITS) - 1);
        (word >> COUNT_BITS).wrapping_add(count.wrapping_mul(now_ns)) % RAN_AGAIN_NS
    }

    /// What is charged to one of its vCPUs that did not want to run while the others ran, since they had run for so long: what one
    /// alone would have been charged. What its domain has used is not saved by who was away.
    pub(super) fn charge_of_others(&self, since_ran_ns: u64, now_ns: u64) -> u64 {
        let ns = self.ran_ns(now_ns).wrapping_sub(since_ran_ns) % RAN_AGAIN_NS;
        // Slightly negative if processors' clocks differ.
        let ns = if ns > RAN_AGAIN_NS / 2 { 0 } else { ns };
        let ns = ns.min(MOST_AWAY_NS);
        (ns * USUAL_PRICE * u64::from(DEFAULT_WEIGHT)) / u64::from(self.weight())
    }

    /// One of its vCPUs begins to want to run.
    pub(super) fn begin(&self, now_ns: u64) {
        let change = 0u64.wrapping_sub(now_ns) << COUNT_BITS | 1;
        let before = self.wanting.fetch_add(change, Ordering::Relaxed);
        let count = (before & ((1 << COUNT_BITS) - 1)) as u32 + 1;
        self.most_wanting.fetch_max(count, Ordering::Relaxed);
    }

    /// One that wanted to does not any more.
    pub(super) fn end(&self, now_ns: u64) {
        let change = (now_ns << COUNT_BITS).wrapping_sub(1);
        self.wanting.fetch_add(change, Ordering::Relaxed);
    }

    /// How many of its vCPUs want to run.
    pub(super) fn nr_wanting(&self) -> u64 {
        self.wanting.load(Ordering::Relaxed) & ((1 << COUNT_BITS) - 1)
    }

    /// Averages the number of vCPUs that want to run, if it is time.
    pub(super) fn account(&self, now_ns: u64) {
        let last_ns = self.accounted_ns.load(Ordering::Relaxed);
        let passed_ns = now_ns.saturating_sub(last_ns);
        if passed_ns < ACCOUNTING_NS
            || self
                .accounted_ns
                .compare_exchange(last_ns, now_ns, Ordering::Relaxed, Ordering::Relaxed)
                .is_err()
        {
            return;
        }
        // When this is done can be foreseen, so that how many want to run just now says nothing of how many did.
        let most = self.most_wanting.swap(0, Ordering::Relaxed);
        let word = self.wanting.load(Ordering::Relaxed);
        let count = word & ((1 << COUNT_BITS) - 1);
        self.most_wanting.fetch_max(count as u32, Ordering::Relaxed);
        let sum = (word >> COUNT_BITS).wrapping_add(count.wrapping_mul(now_ns));
        let before = self.accounted.swap(sum, Ordering::Relaxed);
        let spread = if passed_ns > STALE_NS {
            count << SPREAD_BITS
        } else {
            // Slightly negative if processors' clocks differ.
            let wanted_ns = (sum.wrapping_sub(before) << COUNT_BITS) as i64 >> COUNT_BITS;
            (wanted_ns.max(0).unsigned_abs() << SPREAD_BITS).div_ceil(passed_ns)
        };
        let most = u64::from(most).max(count).max(1);
        let spread = spread.clamp(1 << SPREAD_BITS, most << SPREAD_BITS) as u32;
        if self.spread.swap(spread, Ordering::Relaxed) != spread {
            self.set_price();
        }
    }

    /// Takes a grant for one of its vCPUs that is about to run, or to go on.
    pub(super) fn take(&self, now_ns: u64) -> Grant {
        let cap = u64::from(self.cap());
        if cap == 0 {
            return Grant::Unlimited;
        }
        let mut budget = self.budget.lock();
        budget.fill(cap, now_ns);
        let most_ns = WINDOW_NS * cap / 100;
        let room_ns = budget.window.room(now_ns, most_ns);
        let resume_ns = RESUME_NS * cap / 100;
        let least_ns = SHORTEST_GRANT_NS.min(resume_ns / 2).max(1);
        match u64::try_from(budget.left_ns).map(|left_ns| left_ns.min(room_ns)) {
            Ok(left_ns) if left_ns >= least_ns => {
                let part_ns = left_ns / self.nr_wanting().max(1);
                let grant_ns = part_ns.clamp(least_ns, LONGEST_GRANT_NS);
                budget.left_ns = budget.left_ns.saturating_sub_unsigned(grant_ns);
                let until_ns = now_ns.saturating_add(grant_ns);
                budget.window.add(until_ns, grant_ns);
                Grant::For(grant_ns)
            }
            _ => {
                let wanted_ns = i64::try_from(resume_ns).unwrap_or(i64::MAX);
                let lacking_ns = u64::try_from(wanted_ns.saturating_sub(budget.left_ns));
                let wait_ns = lacking_ns
                    .unwrap_or(0)
                    .saturating_mul(FILL_UNIT)
                    .div_ceil(cap * FILL);
                let mut then_ns = now_ns.saturating_add(wait_ns);
                if room_ns < resume_ns {
                    then_ns = then_ns.max(budget.window.room_at(resume_ns, most_ns));
                }
                then_ns = then_ns.max(now_ns.saturating_add(1));
                // One goes on after the other: else all would look in vain but for the first.
                let turn_ns = RESUME_NS.min(SHORTEST_GRANT_NS * 100 / cap);
                let others = self.nr_wanting().saturating_sub(1);
                let last_ns = then_ns.saturating_add(others.saturating_mul(turn_ns));
                let own_ns = budget.last_turn_ns.saturating_add(turn_ns);
                then_ns = own_ns.clamp(then_ns, last_ns);
                budget.last_turn_ns = then_ns;
                Grant::NotBefore(then_ns)
            }
        }
    }

    /// Gives back what is left of a grant, which would have lasted for that from now on, or takes what was used in addition if that is
    /// negative.
    pub(super) fn give_back(&self, now_ns: u64, left_ns: i64) {
        let mut budget = self.budget.lock();
        budget.left_ns = budget.left_ns.saturating_add(left_ns);
        let ns = left_ns.unsigned_abs();
        if left_ns < 0 {
            budget.window.add(now_ns, ns);
        } else {
            budget.window.take_back(now_ns.saturating_add(ns), ns);
        }
    }
}

impl Budget {
    fn fill(&mut self, cap: u64, now_ns: u64) {
        let passed_ns = now_ns.saturating_sub(self.filled_ns);
        let full = cap * DEPTH_NS / 100;
        let more = passed_ns.min(1_000_000_000) * cap * FILL / FILL_UNIT;
        self.left_ns = self
            .left_ns
            .saturating_add_unsigned(more)
            .min(i64::try_from(full).unwrap_or(i64::MAX));
        self.filled_ns = self.filled_ns.max(now_ns);
    }
}

impl Default for Share {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn twice_the_weight_is_charged_half() {
        let share = Share::new();
        let usual = share.charge(MS);
        assert_eq!(usual, 16 * MS);
        share.set_weight(512);
        assert_eq!(share.charge(MS), usual / 2);
        share.set_weight(1);
        assert_eq!(share.charge(MS), usual * 256);
        share.set_weight(u16::MAX);
        assert!(share.charge(MS).abs_diff(usual / 256) < 300);
    }

    #[test]
    fn vcpus_that_want_to_run_divide_their_domain_s_weight() {
        let share = Share::new();
        let usual = share.charge(MS);
        let mut now = 5;
        for _ in 0..3 {
            share.begin(now);
        }
        share.account(now + 400 * MS);
        assert_eq!(share.charge(MS), 3 * usual);
        now += 400 * MS;
        // One of them for half of the time.
        share.end(now + 15 * MS);
        share.account(now + 30 * MS);
        now += 30 * MS;
        assert!(share.charge(MS).abs_diff(usual * 5 / 2) < usual / 50);
        share.account(now + 30 * MS);
        assert_eq!(share.charge(MS), 2 * usual);
        share.end(now);
        share.end(now);
        assert_eq!(share.nr_wanting(), 0);
        share.account(now + 90 * MS);
        assert_eq!(share.charge(MS), usual);
    }

    #[test]
    fn who_sleeps_at_the_accounting_is_counted_for_the_time_before() {
        let share = Share::new();
        let usual = share.charge(MS);
        (0..4).for_each(|_| share.begin(0));
        share.account(30 * MS);
        assert_eq!(share.charge(MS), 4 * usual);
        for round in 1..20 {
            let now = 30 * MS * (round + 1);
            (0..3).for_each(|_| share.end(now - MS / 10));
            share.account(now);
            (0..3).for_each(|_| share.begin(now + MS / 10));
            assert!(share.charge(MS) > 39 * usual / 10, "{}", share.charge(MS));
        }
    }

    #[test]
    fn who_was_away_is_charged_for_those_that_run_on() {
        let share = Share::new();
        let usual = share.charge(MS);
        // The sum of times is not of its first turn.
        let now = RAN_AGAIN_NS - 3 * MS;
        share.begin_running(0);
        share.end_running(now);
        let since = share.ran_ns(now);
        share.begin_running(now + MS);
        let charged = |at| share.charge_of_others(since, at);
        assert_eq!(charged(now + MS), 0);
        assert_eq!(charged(now + 6 * MS), 5 * usual);
        share.begin_running(now + 6 * MS);
        assert_eq!(charged(now + 7 * MS), 7 * usual);
        share.end_running(now + 7 * MS);
        share.end_running(now + 7 * MS);
        assert_eq!(charged(now + 100 * MS), 7 * usual);
        // By the clock of another processor it was a moment before.
        let since = share.ran_ns(now);
        share.begin_running(now + MS);
        assert_eq!(share.charge_of_others(since, now), 0);
    }

    #[test]
    fn clocks_that_differ_make_nobody_dearer() {
        let share = Share::new();
        let usual = share.charge(MS);
        (0..3).for_each(|_| share.begin(0));
        // By the clocks of those who stop, that was before they were counted as wanting to run until now.
        share.account(30 * MS);
        (0..3).for_each(|_| share.end(30 * MS - MS / 10));
        share.account(60 * MS);
        assert_eq!(share.charge(MS), usual);
    }

    #[test]
    fn a_budget_allows_what_the_cap_says() {
        let share = Share::new();
        assert_eq!(share.take(MS), Grant::Unlimited);
        share.set_cap(25);
        share.begin(0);
        let mut ran = 0;
        let mut now = 1000 * MS;
        // The first look fills it.
        while now < 2000 * MS {
            match share.take(now) {
                Grant::Unlimited => unreachable!(),
                Grant::For(ns) => {
                    ran += ns;
                    now += ns;
                }
                Grant::NotBefore(then) => {
                    assert!(then > now + RESUME_NS / 2);
                    now = then;
                }
            }
        }
        let full = 250 * MS;
        assert!(ran.abs_diff(full) <= DEPTH_NS * 25 / 100 + MS, "{ran}");
        // What was used in addition is paid for by waiting.
        share.give_back(now, -(10 * MS as i64));
        while let Grant::For(_) = share.take(now) {}
        let Grant::NotBefore(then) = share.take(now) else {
            unreachable!()
        };
        assert!(then >= now + 30 * MS, "{}", then - now);
    }
}

#[cfg(all(test, loom))]
mod loom_models {
    use super::*;

    #[test]
    fn the_price_is_of_the_last_weight_and_spread() {
        loom::model(|| {
            let share = loom::sync::Arc::new(Share::new());
            share.begin(0);
            share.begin(0);
            let other = loom::sync::Arc::clone(&share);
            let setter = loom::thread::spawn(move || other.set_weight(512));
            share.account(ACCOUNTING_NS);
            setter.join().expect("no panic");
            assert_eq!(share.charge(1000), 1000 * USUAL_PRICE);
        });
    }
}
