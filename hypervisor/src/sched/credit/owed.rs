//! What is owed at most to one that may run everywhere.
//!
//! More and more is owed to one whose weight entitles it to more than a whole processor, which can't be had: it is *full*. What it is
//! owed is bounded, and this bound must be more than what slices of others come to. If they are much dearer to those, one of
//! them would else be owed more than the full one for a moment, and have its processor. So the bound is the greater of
//! [`MOST_OWED_NS`] of whoever is charged least for that among those that run, and some slices of whoever is charged most.
//!
//! Its equals that come are as full as it is, and begin where it is, so that none of them waits until it has used what it is owed.
#![forbid(unsafe_code)]

use super::queue::BOUND_NS;
use super::share::Share;
use super::unit::Unit;
use crate::sync::atomic::{AtomicU64, Ordering};

/// So much of its own running one is owed at least before the others, if that adds up, in ns.
const MOST_OWED_NS: u64 = 2_000_000_000;
/// At every look of a processor by this part of itself what was seen of others counts less.
const FORGETTING: u64 = 256;
/// By this part of itself a price may be greater than that of one that is full and count as equal: what was seen of that one counts
/// less at looks of others.
const EQUAL_PART: u64 = 8;

/// What processors have seen of those that run there, in charges.
#[derive(Debug)]
pub(super) struct Owed {
    /// [`MOST_OWED_NS`] of who is charged least.
    least: AtomicU64,
    /// Some slices of who is charged most.
    dearest: AtomicU64,
    /// What is owed at most.
    most: AtomicU64,
    /// [`BOUND_NS`] of whoever is charged most of those that are full.
    full: AtomicU64,
    /// All are seen while this one is seen once.
    nr_cpus: u64,
}

impl Owed {
    pub(super) fn new(nr_cpus: u32) -> Self {
        Self {
            least: AtomicU64::new(u64::MAX),
            dearest: AtomicU64::new(0),
            most: AtomicU64::new(u64::MAX),
            full: AtomicU64::new(0),
            nr_cpus: u64::from(nr_cpus),
        }
    }

    /// A processor looks at its accounts while it runs a vCPU of a domain with `share`, and some slices last for
    /// `slices_ns`. Returns what that one is owed at most.
    pub(super) fn note_running(&self, share: &Share, slices_ns: u64) -> u64 {
        let least = self.least.load(Ordering::Relaxed);
        let more = least.saturating_add(least / FORGETTING + 1);
        let least = share.charge(MOST_OWED_NS).min(more);
        self.least.store(least, Ordering::Relaxed);
        let dearest = self.less(&self.dearest).max(share.charge(slices_ns));
        self.dearest.store(dearest, Ordering::Relaxed);
        let most = least.max(dearest);
        self.most.store(most, Ordering::Relaxed);
        most
    }

    /// Of that one is known whether it is owed as much as it can be.
    pub(super) fn note_full(&self, share: &Share, is_full: bool) {
        let own = if is_full { share.charge(BOUND_NS) } else { 0 };
        let full = self.less(&self.full).max(own);
        self.full.store(full, Ordering::Relaxed);
    }

    fn less(&self, seen: &AtomicU64) -> u64 {
        let seen = seen.load(Ordering::Relaxed);
        seen - seen / (FORGETTING * self.nr_cpus.max(1))
    }

    /// How far below the level one may be that comes there, in charges; `bound` is [`BOUND_NS`] of it.
    pub(super) fn most_below(&self, unit: &Unit, bound: u64) -> u64 {
        let full = self.full.load(Ordering::Relaxed);
        if unit.is_free() && bound <= full.saturating_add(full / EQUAL_PART) {
            bound.max(self.most.load(Ordering::Relaxed))
        } else {
            bound
        }
    }
}
