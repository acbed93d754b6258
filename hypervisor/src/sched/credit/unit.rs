//! What the scheduler keeps with a vCPU.
//!
//! While a processor runs the vCPU, that one alone changes it; else whoever holds the lock of its home's queue.
#![forbid(unsafe_code)]

extern crate alloc;

use super::queue::BOUND_NS;
use super::share::Share;
use crate::sched::cpu_set::{CpuId, CpuSet, WORDS};
use crate::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering};
use alloc::sync::Arc;

/// In which part of its home's queue it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Place {
    /// In none.
    Nowhere,
    /// Among those that have just been woken.
    Boosted,
    /// Among those that wait.
    Waiting,
    /// Among those whose domain has used what its cap allows.
    Parked,
}

/// How its charges are brought to those of where it comes to wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Entry {
    /// They are comparable.
    AsItIs,
    /// It was away, or elsewhere: neither what it is owed nor what it owes grows meanwhile.
    Bounded,
    /// It is new.
    Fresh,
}

/// What this scheduler keeps with a vCPU.
#[derive(Debug)]
pub struct Unit {
    pub(super) share: Arc<Share>,
    pub(super) home: AtomicU32,
    place: AtomicU8,
    entry: AtomicU8,
    hard: [AtomicU64; WORDS],
    soft: [AtomicU64; WORDS],
    /// It may run on one processor only.
    pub(super) is_bound: AtomicBool,
    /// It may run on all that were on line when it came to a queue last.
    pub(super) is_free: AtomicBool,
    /// After so many changes of what is on line that was so.
    pub(super) is_free_as_of: AtomicU32,
    /// What it has been charged, compared by [`is_before`](super::queue::is_before).
    pub(super) charged: AtomicU64,
    /// Until when it has been charged, while it runs.
    pub(super) charged_ns: AtomicU64,
    /// Since when it runs without a break.
    pub(super) began_ns: AtomicU64,
    /// For how long its domain's vCPUs had run when it stopped wanting to.
    pub(super) away_since_ran_ns: AtomicU64,
    /// Its domain's share counts it among those that run.
    is_running_counted: AtomicBool,
    /// Its domain's share counts it among those that want to run.
    pub(super) is_counted: AtomicBool,
    /// It is counted among those, and may run everywhere, or might when that began.
    pub(super) is_counted_free: AtomicBool,
    /// It was woken and goes before others.
    pub(super) is_boosted: AtomicBool,
    /// It has given way: it goes behind everybody this time.
    pub(super) is_yielding: AtomicBool,
    /// What is left of its grant; `None` is [`NO_LIMIT`].
    grant_ns: AtomicI64,
    /// The system time before which it may not run.
    pub(super) not_before_ns: AtomicU64,
}

const NO_LIMIT: i64 = i64::MAX;
/// By how much more urgent the first domain's vCPUs are: more than charges that are compared differ.
const FIRST: u64 = 1 << 61;

impl Unit {
    /// A vCPU that has not been added yet, of the domain that has `share`.
    #[must_use]
    pub fn new(share: Arc<Share>) -> Self {
        Self {
            share,
            home: AtomicU32::new(0),
            place: AtomicU8::new(Place::Nowhere as u8),
            entry: AtomicU8::new(Entry::Fresh as u8),
            hard: core::array::from_fn(|_| AtomicU64::new(0)),
            soft: core::array::from_fn(|_| AtomicU64::new(u64::MAX)),
            is_bound: AtomicBool::new(false),
            is_free: AtomicBool::new(false),
            is_free_as_of: AtomicU32::new(0),
            charged: AtomicU64::new(0),
            charged_ns: AtomicU64::new(0),
            began_ns: AtomicU64::new(0),
            away_since_ran_ns: AtomicU64::new(0),
            is_running_counted: AtomicBool::new(false),
            is_counted: AtomicBool::new(false),
            is_counted_free: AtomicBool::new(false),
            is_boosted: AtomicBool::new(false),
            is_yielding: AtomicBool::new(false),
            grant_ns: AtomicI64::new(NO_LIMIT),
            not_before_ns: AtomicU64::new(0),
        }
    }

    pub(super) fn home(&self) -> CpuId {
        CpuId(self.home.load(Ordering::Acquire))
    }

    pub(super) fn set_home(&self, home: CpuId) {
        self.home.store(home.0, Ordering::Release);
    }

    pub(super) fn place(&self) -> Place {
        match self.place.load(Ordering::Relaxed) {
            1 => Place::Boosted,
            2 => Place::Waiting,
            3 => Place::Parked,
            _ => Place::Nowhere,
        }
    }

    #[cfg(all(test, not(loom)))]
    pub(super) fn is_parked(&self) -> bool {
        self.place() == Place::Parked
    }

    pub(super) fn set_place(&self, place: Place) {
        self.place.store(place as u8, Ordering::Relaxed);
    }

    /// It runs from now on.
    pub(super) fn begin_running(&self, now_ns: u64) {
        self.charged_ns.store(now_ns, Ordering::Relaxed);
        self.began_ns.store(now_ns, Ordering::Relaxed);
        if !self.is_running_counted.load(Ordering::Relaxed) {
            self.is_running_counted.store(true, Ordering::Relaxed);
            self.share.begin_running(now_ns);
        }
    }

    /// It has run until it was charged last.
    pub(super) fn end_running(&self) {
        if self.is_running_counted.load(Ordering::Relaxed) {
            self.is_running_counted.store(false, Ordering::Relaxed);
            let then_ns = self.charged_ns.load(Ordering::Relaxed);
            self.share.end_running(then_ns);
        }
    }

    /// It wants to run again: it has not saved what the others of its domain have used meanwhile. Returns that. The first domain's may:
    /// it means no harm, and who works there, or waits for its devices, would wait for all guests' slices otherwise.
    pub(super) fn charge_for_others(&self, now_ns: u64) -> u64 {
        if self.share.is_first() {
            0
        } else {
            self.charge_for_other_vcpus(now_ns)
        }
    }

    #[inline(never)]
    fn charge_for_other_vcpus(&self, now_ns: u64) -> u64 {
        let ran_ns = self.share.ran_ns(now_ns);
        let since_ran_ns = self.away_since_ran_ns.swap(ran_ns, Ordering::Relaxed);
        let others = self.share.charge_of_others(since_ran_ns, now_ns);
        if others != 0 {
            let charged = self.charged().wrapping_add(others);
            self.charged.store(charged, Ordering::Relaxed);
        }
        others
    }

    /// How it is brought in where it comes to next; after that it is in.
    pub(super) fn take_entry(&self) -> Entry {
        match self.entry.swap(Entry::AsItIs as u8, Ordering::Relaxed) {
            1 => Entry::Bounded,
            2 => Entry::Fresh,
            _ => Entry::AsItIs,
        }
    }

    /// Its charges are not comparable with those of where it comes to next.
    pub(super) fn comes_from_elsewhere(&self) {
        if self.entry.load(Ordering::Relaxed) == Entry::AsItIs as u8 {
            self.entry.store(Entry::Bounded as u8, Ordering::Relaxed);
        }
    }

    pub(super) fn hard(&self) -> CpuSet {
        load(&self.hard)
    }

    pub(super) fn set_hard(&self, set: &CpuSet) {
        store(&self.hard, set);
        let is_bound = set.iter().nth(1).is_none();
        self.is_bound.store(is_bound, Ordering::Release);
    }

    pub(super) fn soft(&self) -> CpuSet {
        load(&self.soft)
    }

    pub(super) fn set_soft(&self, set: &CpuSet) {
        store(&self.soft, set);
    }

    pub(super) fn may_run_on(&self, cpu: CpuId) -> bool {
        contains(&self.hard, cpu)
    }

    pub(super) fn likes(&self, cpu: CpuId) -> bool {
        contains(&self.soft, cpu)
    }

    pub(super) fn is_bound(&self) -> bool {
        self.is_bound.load(Ordering::Acquire)
    }

    /// Whether it may run everywhere.
    pub(super) fn is_free(&self) -> bool {
        self.is_free.load(Ordering::Relaxed)
    }

    pub(super) fn charged(&self) -> u64 {
        self.charged.load(Ordering::Relaxed)
    }

    /// How urgent it is among those that were woken; less is more. Those that have come back with as much as may be kept, whatever
    /// their weight, are equal, and whoever has used some of it since comes after them. The first domain's are before all others:
    /// everybody's devices wait for it, and it may not go on for longer than it is under its share, either.
    pub(super) fn urgency(&self) -> u64 {
        let used = self.charged().wrapping_add(self.share.charge(BOUND_NS));
        if self.share.is_first() {
            used.wrapping_sub(FIRST)
        } else {
            used
        }
    }

    /// What is left of its grant, if it has one.
    pub(super) fn grant_ns(&self) -> Option<i64> {
        let left = self.grant_ns.load(Ordering::Relaxed);
        (left != NO_LIMIT).then_some(left)
    }

    pub(super) fn set_grant(&self, left_ns: Option<i64>) {
        self.grant_ns
            .store(left_ns.unwrap_or(NO_LIMIT), Ordering::Relaxed);
    }

    /// Gives back what is left of its grant, which would have lasted for that from now on.
    pub(super) fn return_grant(&self, now_ns: u64) {
        if let Some(left_ns) = self.grant_ns() {
            self.set_grant(None);
            self.share.give_back(now_ns, left_ns);
        }
    }
}

fn load(words: &[AtomicU64; WORDS]) -> CpuSet {
    CpuSet::from_words(&words.each_ref().map(|word| word.load(Ordering::Acquire)))
}

fn store(words: &[AtomicU64; WORDS], set: &CpuSet) {
    for (to, from) in words.iter().zip(set.words()) {
        to.store(*from, Ordering::Release);
    }
}

fn contains(words: &[AtomicU64; WORDS], cpu: CpuId) -> bool {
    let word = words.get((cpu.0 / u64::BITS) as usize);
    word.is_some_and(|word| word.load(Ordering::Acquire) >> (cpu.0 % u64::BITS) & 1 != 0)
}
