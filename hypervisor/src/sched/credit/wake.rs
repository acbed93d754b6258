//! Where one goes that wants to run, at which level of charges it comes there, and who is told.
#![forbid(unsafe_code)]

use super::Credit;
use super::queue::{BOUND_NS, Queue, earlier, later};
use super::unit::{Place, Unit};
use crate::sched::cpu_set::{CpuId, CpuSet};
use crate::sched::{Poke, SchedVcpu};
use crate::sync::atomic::Ordering;

impl<V: SchedVcpu<Unit>> Credit<V> {
    /// The level of a queue for one that comes to it. That may have been made by vCPUs that are bound to its
    /// processor: one that may run everywhere is not brought far from where others like it are.
    pub(super) fn level_for(&self, queue: &Queue<V>, unit: &Unit) -> u64 {
        let free = self.free_level.load(Ordering::Relaxed);
        let bound = unit.share.charge(BOUND_NS);
        let level = later(queue.level, free.wrapping_sub(bound));
        let level = earlier(level, free.wrapping_add(bound));
        if level != queue.level && unit.is_free() {
            level
        } else {
            queue.level
        }
    }

    /// The same for one that is woken. If no other one wants to run that may run everywhere, those that are bound to the processor are
    /// all that it competes with: then the level of such is here.
    pub(super) fn level_for_woken(&self, queue: &Queue<V>, unit: &Unit) -> u64 {
        let level = self.level_for(queue, unit);
        if !unit.is_free() || self.nr_free.load(Ordering::Relaxed) != 0 {
            return level;
        }
        let level = later(level, queue.level);
        self.free_level.store(level, Ordering::Relaxed);
        level
    }

    /// Where one that was woken goes instead of a processor that has such a one already.
    pub(super) fn calmer(&self, unit: &Unit, home: CpuId) -> Option<CpuId> {
        self.others(home)
            .find(|(id, cpu)| unit.may_run_on(*id) && cpu.nr_boosted.load(Ordering::Relaxed) == 0)
            .map(|(id, _)| id)
    }

    /// Puts a vCPU into a queue if it is runnable, not running and in none. Says which processor to poke.
    pub(super) fn enqueue(&self, vcpu: &V, now_ns: u64) -> Poke {
        let (run, unit) = (vcpu.run_state(), vcpu.unit());
        // The crowded processor that it has left for a calmer one.
        let mut crowded = None;
        let mut for_others = 0;
        loop {
            let Some((home, mut locked)) = self.lock_home(vcpu) else {
                return Poke(None);
            };
            // Running includes being put away: then it is queued when that is done.
            if !run.is_runnable() || run.is_running() {
                return Poke(None);
            }
            match unit.place() {
                Place::Nowhere => {}
                Place::Parked => return Poke(None),
                // A processor may have passed over it, and gone idle, while it was not runnable for a moment.
                Place::Waiting | Place::Boosted => {
                    drop(locked);
                    return self.poke_idle(home, unit);
                }
            }
            if !self.is_fit(unit, home) {
                let Some(home) = self.least_loaded(&unit.hard()) else {
                    if self.online().next().is_none() {
                        return Poke(None);
                    }
                    // The last processor that it might use went off line: better elsewhere than never.
                    unit.set_hard(&CpuSet::ALL);
                    self.note_free(unit);
                    continue;
                };
                unit.comes_from_elsewhere();
                unit.set_home(home);
                continue;
            }
            let is_woken = !unit.is_counted.load(Ordering::Relaxed);
            let is_idle = self.idle.contains(home);
            let queue = &mut *locked.queue;
            self.note_free_anew(unit);
            let mut level = if is_woken {
                self.level_for_woken(queue, unit)
            } else {
                self.level_for(queue, unit)
            };
            if is_woken && is_idle && !unit.is_bound() {
                level = later(level, self.free_level.load(Ordering::Relaxed));
            }
            if is_woken {
                for_others += unit.charge_for_others(now_ns);
            }
            if let Some(crowded) = crowded.filter(|crowded| *crowded != home) {
                // In the crowd it waits for a moment, here it would for a turn like others.
                let waits_here = !is_idle && !Queue::<V>::is_under(unit, level);
                if waits_here && self.is_fit(unit, crowded) {
                    unit.set_home(crowded);
                    continue;
                }
                unit.comes_from_elsewhere();
            }
            queue.admit(unit, level, for_others, &self.owed);
            let is_boosted = is_woken && Queue::<V>::is_under(unit, level);
            let is_crowded = queue.nr_boosted() > 0 || queue.is_running_boosted;
            if is_boosted
                && is_crowded
                && !is_idle
                && crowded.is_none()
                && let Some(calmer) = self.calmer(unit, home)
            {
                crowded = Some(home);
                unit.set_home(calmer);
                continue;
            }
            if is_woken {
                self.begin_counting(unit, now_ns);
            }
            let not_before_ns = unit.not_before_ns.swap(0, Ordering::Relaxed);
            if not_before_ns > now_ns {
                queue.push_parked(vcpu, not_before_ns);
                queue.settled_ns = 0;
                // It wakes for it.
                return Poke(Some(home));
            }
            unit.is_boosted.store(is_boosted, Ordering::Relaxed);
            if is_boosted {
                queue.push_boosted(vcpu);
            } else {
                queue.push_waiting(vcpu);
            }
            drop(locked);
            let poke = self.poke_idle(home, unit);
            return if is_boosted && poke == Poke(None) {
                Poke(Some(home))
            } else {
                poke
            };
        }
    }

    /// An idle processor that should look at a vCPU that was put into the queue of `home`. A processor that is not
    /// idle looks again by itself.
    pub(super) fn poke_idle(&self, home: CpuId, unit: &Unit) -> Poke {
        // The mark "idle" is set before its owner looks at the queues, and read after this one changed. It
        // is taken off by who pokes, so that the next one to wait is offered to somebody else.
        crate::sync::model_fence();
        if self.idle.is_empty() {
            return Poke(None);
        }
        self.claim_idle(home, &unit.hard(), &unit.soft())
    }

    /// The same, of one that may run on `hard` and likes to on `soft`.
    pub(super) fn claim_idle(&self, home: CpuId, hard: &CpuSet, soft: &CpuSet) -> Poke {
        if soft.contains(home) && self.idle.clear(home) {
            // Before it is poked: it answers after that.
            if let Some(cpu) = self.cpu(home) {
                cpu.is_called.store(true, Ordering::SeqCst);
            }
            return Poke(Some(home));
        }
        let claimed = self.idle.claim(&hard.intersection(soft));
        Poke(claimed.or_else(|| self.idle.claim(hard)))
    }

    /// It wants to run. Called by who may change it.
    pub(super) fn begin_counting(&self, unit: &Unit, now_ns: u64) {
        unit.is_counted.store(true, Ordering::Relaxed);
        unit.share.begin(now_ns);
        if unit.is_free() {
            unit.is_counted_free.store(true, Ordering::Relaxed);
            self.nr_free.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// It does not want to run any more. Called by who may change it.
    pub(super) fn stop_counting(&self, unit: &Unit, now_ns: u64) {
        if unit.is_counted.load(Ordering::Relaxed) {
            unit.is_counted.store(false, Ordering::Relaxed);
            // It may be bound since.
            if unit.is_counted_free.load(Ordering::Relaxed) {
                unit.is_counted_free.store(false, Ordering::Relaxed);
                self.nr_free.fetch_sub(1, Ordering::Relaxed);
            }
            unit.share.end(now_ns);
            if !unit.share.is_first() {
                let ran_ns = unit.share.ran_ns(now_ns);
                unit.away_since_ran_ns.store(ran_ns, Ordering::Relaxed);
            }
            unit.comes_from_elsewhere();
        }
    }
}
