//! How charges of those that compete are kept together.
//!
//! Charges grow apart where vCPUs do not compete: one runs alone, others are bound to a processor that is crowded. When they meet,
//! what one is owed before the others is bounded, so that nobody waits for long because of what was long ago.
#![forbid(unsafe_code)]

use super::Credit;
use super::queue::{BOUND_NS, Cpu, Queue, earlier, is_before, later};
use super::unit::Unit;
use crate::sched::SchedVcpu;
use crate::sched::cpu_set::CpuId;
use crate::sync::atomic::Ordering;

/// Charges so far apart are brought closer, whatever they are owed for: if they grew apart for ever, at some time less would be more.
const FARTHEST: u64 = 1 << 60;

/// By so many times what is allowed one that waits may have been charged more: that much it may owe itself, as others of its domain have run
/// while it was away, and it waits for that.
const DEBT: u64 = 3;

/// Charges of somebody, and by how much those of others that compete with it can be less.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Anchor {
    charged: u64,
    allowed: u64,
}

/// To whom those keep close that may run everywhere, and get a processor or go on there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Pinned(Option<Anchor>);

impl<V: SchedVcpu<Unit>> Credit<V> {
    /// Whoever may not run everywhere and has been charged least of those that compete for the processor of this queue, where
    /// `current` has run. There may be a pass over the queue.
    pub(super) fn pinned(&self, queue: &Queue<V>, current: Option<&Unit>) -> Pinned {
        let current = current.filter(|unit| !unit.is_free());
        let least = match (current, queue.first_pinned()) {
            (Some(own), Some(other)) if is_before(other.charged(), own.charged()) => Some(other),
            (Some(own), _) => Some(own),
            (None, other) => other,
        };
        Pinned(least.map(|unit| self.anchor(unit)))
    }

    fn anchor(&self, unit: &Unit) -> Anchor {
        Anchor {
            charged: unit.charged(),
            allowed: unit.share.charge(self.allowed_ns()),
        }
    }

    /// By how much running somebody may be owed more than another one if either is pinned: more than slices come to.
    fn allowed_ns(&self) -> u64 {
        let slice_ns = self.slice_ns.load(Ordering::Relaxed);
        BOUND_NS.max(slice_ns.saturating_mul(2))
    }

    /// Bounds what one that gets the processor is owed before others that compete for it: charges of the two have grown apart
    /// while they did not compete. One that may run everywhere keeps close to `pinned`, one that may not to whoever has been charged
    /// most of those that wait.
    pub(super) fn lift(&self, queue: &Queue<V>, pinned: Pinned, unit: &Unit) {
        let anchor = if unit.is_free() {
            pinned.0
        } else {
            queue.last_waiting().map(|unit| {
                let anchor = self.anchor(unit);
                let allowed = anchor.allowed.saturating_mul(DEBT);
                Anchor { allowed, ..anchor }
            })
        };
        if let Some(anchor) = anchor {
            self.lift_to(unit, anchor);
        }
    }

    fn lift_to(&self, unit: &Unit, anchor: Anchor) {
        let allowed = anchor.allowed.max(unit.share.charge(self.allowed_ns()));
        let charged = later(unit.charged(), anchor.charged.wrapping_sub(allowed));
        unit.charged.store(charged, Ordering::Relaxed);
    }

    /// Bounds what one that is pinned is owed before others that wait for another processor and might run here.
    pub(super) fn keep_close(&self, cpu: CpuId, unit: &Unit) {
        if unit.is_free() {
            return;
        }
        let allowed = unit.share.charge(self.allowed_ns());
        for (other, peer) in self.others(cpu) {
            let first = peer.first.load(Ordering::Relaxed);
            let is_far = is_before(unit.charged(), first.wrapping_sub(allowed));
            if peer.nr_movable.load(Ordering::Relaxed) == 0 || !is_far {
                continue;
            }
            let waiting = self.lock(other).and_then(|locked| {
                let waiting = locked.queue.first_waiting_for(cpu)?;
                Some(self.anchor(waiting))
            });
            if let Some(anchor) = waiting {
                self.lift_to(unit, anchor);
            }
        }
    }

    /// Keeps charges together where nobody contends, and bounds what those that may run everywhere are owed where somebody
    /// does.
    #[inline(never)]
    pub(super) fn follow_level(&self, queue: &mut Queue<V>, cpu: CpuId, unit: &Unit) {
        let is_free = unit.is_free();
        let was_contended = core::mem::take(&mut queue.was_contended);
        if !is_free {
            self.keep_comparable(unit);
            if !queue.waiters.is_empty() {
                return;
            }
        }
        let most_owed = self.owed.note_running(&unit.share, self.allowed_ns());
        let level = self.free_level.load(Ordering::Relaxed);
        let charged = unit.charged();
        let waits = |(_, peer): (CpuId, &Cpu<V>)| peer.nr_movable.load(Ordering::Relaxed) != 0;
        match queue.first_charged() {
            Some(first) => {
                let bound = level.wrapping_sub(most_owed);
                self.owed.note_full(&unit.share, is_before(charged, bound));
                let charged = later(charged, bound);
                unit.charged.store(charged, Ordering::Relaxed);
                let here = later(level, earlier(charged, first));
                self.free_level.store(here, Ordering::Relaxed);
            }
            // Who is woken just now is about to contend here.
            None if queue.nr_waiting() != 0 || self.others(cpu).any(waits) => {
                if !is_free {
                    return;
                }
                let bound = level.wrapping_sub(most_owed);
                self.owed.note_full(&unit.share, is_before(charged, bound));
                unit.charged.store(later(charged, bound), Ordering::Relaxed);
            }
            None => {
                let together = later(charged, level);
                self.free_level.store(together, Ordering::Relaxed);
                if !is_free && was_contended {
                    // Others come and go here, and what it is owed for that stays.
                    return;
                }
                unit.charged.store(together, Ordering::Relaxed);
            }
        }
    }

    /// The level follows one that may run everywhere and stops wanting to: it may never run when a processor looks at its accounts.
    #[inline(never)]
    pub(super) fn raise_free_level(&self, queue: &Queue<V>, unit: &Unit) {
        if unit.is_free() {
            let charged = unit.charged();
            let here = queue
                .first_charged()
                .map_or(charged, |first| earlier(charged, first));
            if is_before(self.free_level.load(Ordering::Relaxed), here) {
                self.free_level.store(here, Ordering::Relaxed);
            }
        }
    }

    /// Ends what one that is pinned is owed, or owes, before its charges and others' are half of all numbers apart, which takes
    /// weeks.
    fn keep_comparable(&self, unit: &Unit) {
        let (level, charged) = (self.free_level.load(Ordering::Relaxed), unit.charged());
        let kept = later(charged, level.wrapping_sub(FARTHEST));
        unit.charged.store(kept, Ordering::Relaxed);
        let least = kept.wrapping_sub(FARTHEST);
        if is_before(level, least) {
            self.free_level.store(least, Ordering::Relaxed);
        }
    }
}
