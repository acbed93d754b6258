//! What a processor does next.
#![forbid(unsafe_code)]

use super::help::LooksAgain;
use super::queue::{Among, Cpu, Queue, earlier, is_before, later};
use super::share::Grant;
use super::unit::Unit;
use super::{Credit, Locked, TICK_NS};
use crate::sched::cpu_set::{CpuId, CpuSet};
use crate::sched::{Decision, Pick, Poke, SchedVcpu};
use crate::sync::atomic::Ordering;

/// How often who runs is compared with others that were woken, at most.
const SHORTEST_LOOK_NS: u64 = 100_000;

/// In the time of a rate limit so many turns may end before it, in the long run: those are for who waits for events beside
/// others that always want to run, and comes and goes more often than the limit lets it. At a few microseconds for a switch that is
/// about a hundredth of the processor.
pub(super) const EARLY_IN_LIMIT: u64 = 4;
/// So many in a row, after none for a while.
pub(super) const EARLY_IN_A_ROW: u64 = 32;

/// How a vCPU's turn stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Turn {
    /// It goes on.
    GoesOn,
    /// Somebody that was woken goes before it.
    IsPreempted,
    /// It wants to give way.
    Yields,
    /// It goes on unless somebody elsewhere was woken, or is owed a whole slice more.
    MayHelp,
    /// Its slice has ended.
    Ends,
    /// There is none, or it can't go on.
    Over,
}

impl<V: SchedVcpu<Unit>> Credit<V> {
    pub(super) fn pick(&self, cpu: CpuId, now_ns: u64, current: Option<&V>) -> Decision<V> {
        let mut decision = self.decide(cpu, now_ns, current);
        // Else whoever is poked picks, and comes to do this.
        if decision.poke == Poke(None)
            && !self.has_parked.is_empty()
            && let Some(victim) = self.has_parked.claim(&CpuSet::ALL)
            && self.idle.clear(victim)
        {
            decision.poke = Poke(Some(victim));
        }
        decision
    }

    fn decide(&self, cpu: CpuId, now_ns: u64, current: Option<&V>) -> Decision<V> {
        let idle = Decision {
            pick: Pick::Idle,
            until_ns: None,
            poke: Poke(None),
        };
        // Who has taken the mark off wants the processor for somebody that waits.
        let is_claimed = !self.idle.clear(cpu) && current.is_none();
        let Some(mut locked) = self.lock(cpu) else {
            return idle;
        };
        // Others have left to it who waits here: they are told if it does not take all.
        let is_called = locked.cpu.answer_call();
        let has_news = locked.queue.unpark(now_ns) | is_called;
        let looks = now_ns >= locked.queue.next_look_ns;
        let makes_up = looks && self.plan_look(&mut locked.queue, now_ns);
        locked.queue.was_contended |= current.is_some() && locked.queue.nr_waiting() != 0;
        let may_stay =
            current.is_some_and(|vcpu| self.keep(&mut locked.queue, cpu, now_ns, looks, vcpu));
        let unit = current.map(SchedVcpu::unit).filter(|_| may_stay);
        let turn = self.turn(&mut locked.queue, now_ns, (looks, makes_up), unit);
        if turn == Turn::GoesOn {
            let until_ns = self.until(&locked.queue, now_ns, unit);
            drop(locked);
            return self.decision(cpu, Pick::Stay, until_ns, has_news);
        }
        let is_online = locked.cpu.is_online.load(Ordering::Acquire);
        let first = locked.queue.first_charged();
        let is_relief_due = now_ns >= locked.queue.next_relief_ns;
        let mut pinned = None;
        // The queue stays locked, unless others are looked at.
        let (next, held) = match (turn, first) {
            (Turn::Over, _) if !is_online => (None, Some(locked)),
            (Turn::MayHelp, _) => {
                let level = locked.queue.level;
                drop(locked);
                unit.into_iter().for_each(|unit| self.keep_close(cpu, unit));
                let own = unit.map_or(level, Unit::charged);
                let slice_ns = self.slice_ns.load(Ordering::Relaxed);
                let next = self
                    .help_urgent(cpu, now_ns)
                    .or_else(|| self.relieve(cpu, now_ns, own, slice_ns));
                (next, None)
            }
            (Turn::Ends, first) => {
                let level = locked.queue.level;
                let is_boosted = locked.queue.nr_boosted() != 0;
                if is_relief_due && !is_boosted {
                    locked.queue.next_relief_ns = now_ns.saturating_add(TICK_NS);
                }
                if let Some(unit) = unit {
                    let pinned = *pinned.insert(self.pinned(&locked.queue, Some(unit)));
                    self.lift(&locked.queue, pinned, unit);
                }
                drop(locked);
                unit.into_iter().for_each(|unit| self.keep_close(cpu, unit));
                let own = unit.map_or(level, Unit::charged);
                let best = first.map_or(own, |first| earlier(own, first));
                self.next(cpu, now_ns, own, Some(best).filter(|_| !is_boosted))
            }
            (Turn::Over | Turn::Yields, first)
                if is_relief_due && (first.is_some() || locked.queue.nr_boosted() != 0) =>
            {
                // One that was woken goes before, and it stays due; but not for ever.
                let urgent =
                    (now_ns < locked.queue.next_relief_ns.saturating_add(TICK_NS)).then(|| {
                        locked
                            .queue
                            .claim_among(Among::Urgent, cpu, now_ns, |_, _| true)
                    });
                match urgent.flatten() {
                    Some(urgent) => (Some(urgent), Some(locked)),
                    None => {
                        locked.queue.next_relief_ns = now_ns.saturating_add(TICK_NS);
                        let own = first.unwrap_or(locked.queue.level);
                        drop(locked);
                        self.next(cpu, now_ns, own, Some(own))
                    }
                }
            }
            _ => {
                let next = locked.queue.claim(cpu, now_ns, |_, _| true);
                (next, Some(locked))
            }
        };
        let Some(mut locked) = held.or_else(|| self.lock(cpu)) else {
            return idle;
        };
        let queue = &mut *locked.queue;
        let (pick, until_ns) = match next {
            Some(vcpu) => {
                if let Some(unit) = unit {
                    let yields = turn == Turn::Yields;
                    unit.is_yielding.store(yields, Ordering::Relaxed);
                    unit.is_boosted.store(false, Ordering::Relaxed);
                    unit.return_grant(now_ns);
                }
                let pinned = pinned.unwrap_or_else(|| self.pinned(queue, unit));
                self.lift(queue, pinned, vcpu.unit());
                let until_ns = self.begin_turn(queue, now_ns, vcpu.unit());
                (Pick::Switch(vcpu), until_ns)
            }
            None if may_stay => {
                if core::mem::take(&mut queue.is_unfinished) {
                    // The search for somebody else goes on when the processor picks next, at once and in the same way.
                    queue.has_yielded |= turn == Turn::Yields;
                    return Decision {
                        pick: Pick::Stay,
                        until_ns: Some(now_ns),
                        poke: Poke(None),
                    };
                }
                if matches!(turn, Turn::Ends | Turn::Yields) {
                    // For another slice.
                    queue.slice_end_ns = self.slice_end(now_ns);
                }
                let mut until_ns = self.until(queue, now_ns, unit);
                if turn == Turn::IsPreempted && looks && queue.nr_boosted() == 0 {
                    // Who was to go before was parked instead, maybe at every look: this one is made up for.
                    queue.next_look_ns = now_ns;
                    until_ns = now_ns;
                }
                (Pick::Stay, until_ns)
            }
            None => {
                drop(locked);
                return if is_online {
                    self.go_idle(cpu, now_ns)
                } else {
                    idle
                };
            }
        };
        drop(locked);
        let mut decision = self.decision(cpu, pick, until_ns, has_news);
        if is_claimed && decision.poke == Poke(None) {
            decision.poke = self.offer_elsewhere(cpu);
        }
        decision
    }

    /// Charges a vCPU that the processor has, and says whether it may go on.
    fn keep(&self, queue: &mut Queue<V>, cpu: CpuId, now_ns: u64, looks: bool, vcpu: &V) -> bool {
        let unit = vcpu.unit();
        let is_counted = unit.is_counted.load(Ordering::Relaxed);
        if is_counted {
            charge(queue, unit, now_ns);
        }
        if !vcpu.run_state().is_runnable() {
            unit.return_grant(now_ns);
            unit.is_boosted.store(false, Ordering::Relaxed);
            unit.end_running();
            self.raise_free_level(queue, unit);
            self.stop_counting(unit, now_ns);
            return false;
        }
        if !is_counted {
            self.wake_in_place(queue, unit, now_ns);
        }
        if !self.is_fit(unit, cpu) || looks && !unit.likes(cpu) && self.is_better_elsewhere(unit) {
            unit.return_grant(now_ns);
            return false;
        }
        if looks {
            self.follow_level(queue, cpu, unit);
        }
        // One that has no limit may have got one.
        if unit.grant_ns().map_or(looks, |left_ns| left_ns <= 0) {
            unit.return_grant(now_ns);
            match unit.share.take(now_ns) {
                Grant::Unlimited => {}
                Grant::For(ns) => unit.set_grant(Some(ns as i64)),
                Grant::NotBefore(then_ns) => {
                    unit.is_boosted.store(false, Ordering::Relaxed);
                    unit.not_before_ns.store(then_ns, Ordering::Relaxed);
                    return false;
                }
            }
        }
        true
    }

    /// Whether a processor is idle that a vCPU may run on and likes, which does not like the one that it is on. Not if those
    /// that ran stay with their warm caches for some time: it would wait for that.
    #[cold]
    #[inline(never)]
    fn is_better_elsewhere(&self, unit: &Unit) -> bool {
        self.migration_delay_ns.load(Ordering::Relaxed) == 0
            && !self.idle.is_empty()
            && self
                .idle
                .all()
                .intersection(&unit.hard())
                .intersection(&unit.soft())
                != CpuSet::EMPTY
    }

    /// A vCPU is woken that its processor has kept while it waited.
    fn wake_in_place(&self, queue: &mut Queue<V>, unit: &Unit, now_ns: u64) {
        unit.begin_running(now_ns);
        let mut level = self.level_for_woken(queue, unit);
        self.begin_counting(unit, now_ns);
        if queue.nr_waiting() == 0 && !unit.is_bound() {
            level = later(level, self.free_level.load(Ordering::Relaxed));
        }
        let for_others = unit.charge_for_others(now_ns);
        queue.admit(unit, level, for_others, &self.owed);
        let is_boosted = !is_before(level, unit.charged());
        unit.is_boosted.store(is_boosted, Ordering::Relaxed);
        queue.is_running_boosted = is_boosted;
        self.begin_slice(queue, now_ns);
        // As when it is taken out of a queue.
        if unit.share.cap() != 0 && unit.grant_ns().is_none() {
            unit.set_grant(Some(0));
        }
    }

    /// The look that is due comes to nothing if a turn begins or ends now: then it is made up for. Says whether it makes up for such
    /// a one itself.
    #[cold]
    #[inline(never)]
    fn plan_look(&self, queue: &mut Queue<V>, now_ns: u64) -> bool {
        let makes_up = queue.is_look_owed;
        if self.cpus.len() > 1 {
            queue.look_again(now_ns);
        } else {
            queue.has_looked(now_ns);
        }
        makes_up
    }

    /// `looks` says whether a look is due, and whether that makes up for one.
    fn turn(
        &self,
        queue: &mut Queue<V>,
        now_ns: u64,
        (looks, makes_up): (bool, bool),
        unit: Option<&Unit>,
    ) -> Turn {
        let has_yielded = core::mem::take(&mut queue.has_yielded);
        let Some(unit) = unit else {
            queue.is_running_boosted = false;
            queue.settled_ns = 0;
            return Turn::Over;
        };
        let is_boosted = unit.is_boosted.load(Ordering::Relaxed);
        queue.is_running_boosted = is_boosted;
        if has_yielded && queue.nr_waiting() != 0 {
            return Turn::Yields;
        }
        let ratelimit_ns = self.ratelimit_ns.load(Ordering::Relaxed);
        let limit_ns = unit
            .began_ns
            .load(Ordering::Relaxed)
            .saturating_add(ratelimit_ns);
        if queue.is_urgent(unit) && now_ns >= queue.may_go_ns {
            if now_ns < limit_ns {
                queue.early_ns = queue.early_ns.max(now_ns) + ratelimit_ns / EARLY_IN_LIMIT;
            }
            return Turn::IsPreempted;
        }
        if now_ns >= queue.slice_end_ns {
            queue.has_looked(now_ns);
            return Turn::Ends;
        }
        if looks && !is_boosted && (now_ns >= limit_ns || makes_up) {
            queue.has_looked(now_ns);
            return Turn::MayHelp;
        }
        Turn::GoesOn
    }

    /// When the processor decides anew.
    fn until(&self, queue: &Queue<V>, now_ns: u64, unit: Option<&Unit>) -> u64 {
        let mut until_ns = now_ns.saturating_add(TICK_NS).min(queue.slice_end_ns);
        if queue.is_look_owed {
            until_ns = until_ns.min(queue.next_look_ns);
        }
        if let Some(parked_ns) = queue.first_parked_ns() {
            until_ns = until_ns.min(parked_ns);
        }
        let Some(unit) = unit else {
            return until_ns.max(now_ns);
        };
        if let Some(left_ns) = unit.grant_ns() {
            until_ns = until_ns.min(now_ns.saturating_add(left_ns.max(0).unsigned_abs()));
        }
        if queue.nr_boosted() != 0 {
            until_ns = until_ns.min(if now_ns < queue.may_go_ns {
                queue.may_go_ns
            } else {
                // It is more urgent than they are, and uses what makes it so.
                let ratelimit_ns = self.ratelimit_ns.load(Ordering::Relaxed);
                now_ns.saturating_add(ratelimit_ns.max(SHORTEST_LOOK_NS))
            });
        }
        until_ns.max(now_ns)
    }

    /// With a poke for an idle processor, if some were parked here and may run now, or were left to this processor and wait on.
    fn decision(&self, cpu: CpuId, pick: Pick<V>, until_ns: u64, has_news: bool) -> Decision<V> {
        let is_movable = |cpu: &Cpu<V>| cpu.nr_movable.load(Ordering::Relaxed) != 0;
        let poke = if has_news && self.cpu(cpu).is_some_and(is_movable) {
            self.offer(cpu)
        } else {
            Poke(None)
        };
        Decision {
            pick,
            until_ns: Some(until_ns),
            poke,
        }
    }

    /// An idle processor that may run one of those that wait for this one.
    fn offer(&self, cpu: CpuId) -> Poke {
        let sets = self.lock(cpu).and_then(|locked| {
            let queue = &locked.queue;
            let mut waiting = queue.waiters.iter().take(queue.nr_waiting());
            let unit = waiting.find(|waiter| waiter.is_movable)?.vcpu.unit();
            Some((unit.hard(), unit.soft()))
        });
        // As in `poke_idle`.
        crate::sync::model_fence();
        sets.map_or(Poke(None), |(hard, soft)| {
            self.claim_idle(cpu, &hard, &soft)
        })
    }

    /// An idle processor that may run one of those that wait elsewhere: this one may have been claimed for that, and has
    /// taken somebody else who came meanwhile.
    #[inline(never)]
    fn offer_elsewhere(&self, cpu: CpuId) -> Poke {
        if self.idle.is_empty() {
            return Poke(None);
        }
        let mut peers = self.others(cpu);
        Poke(peers.find_map(
            |(peer, state)| match state.nr_movable.load(Ordering::Relaxed) {
                0 => None,
                _ => self.offer(peer).0,
            },
        ))
    }

    /// When a slice ends that begins now.
    fn slice_end(&self, now_ns: u64) -> u64 {
        now_ns.saturating_add(self.slice_ns.load(Ordering::Relaxed))
    }

    /// A turn begins with its first slice. One that was woken itself has the rate limit always, others while too many have not had
    /// it lately.
    fn begin_slice(&self, queue: &mut Queue<V>, now_ns: u64) {
        queue.slice_end_ns = self.slice_end(now_ns);
        let ratelimit_ns = self.ratelimit_ns.load(Ordering::Relaxed);
        let most_ns = ratelimit_ns * (EARLY_IN_A_ROW - 1) / EARLY_IN_LIMIT;
        let has_limit = queue.is_running_boosted || queue.early_ns.saturating_sub(now_ns) > most_ns;
        queue.may_go_ns = now_ns.saturating_add(if has_limit { ratelimit_ns } else { 0 });
        queue.settled_ns = queue.may_go_ns;
    }

    /// The turn begins of a vCPU that was claimed for the processor of this queue. Says when that decides anew.
    fn begin_turn(&self, queue: &mut Queue<V>, now_ns: u64, unit: &Unit) -> u64 {
        unit.begin_running(now_ns);
        queue.is_running_boosted = unit.is_boosted.load(Ordering::Relaxed);
        self.begin_slice(queue, now_ns);
        queue.rise_to(unit.charged());
        self.until(queue, now_ns, Some(unit))
    }

    /// Whom to run now that the slice of one that has been charged `own` is over: somebody elsewhere who is owed
    /// clearly more than anybody here, who has been charged `best` at least, or somebody here who is owed more. With the
    /// queue, if that was locked last.
    fn next(
        &self,
        cpu: CpuId,
        now_ns: u64,
        own: u64,
        best: Option<u64>,
    ) -> (Option<V>, Option<Locked<'_, V>>) {
        let patience_ns = self.slice_ns.load(Ordering::Relaxed) / 3;
        if let Some(best) = best
            && let Some(vcpu) = self.relieve(cpu, now_ns, best, patience_ns)
        {
            return (Some(vcpu), None);
        }
        let is_owed_more =
            |unit: &Unit, key| unit.is_boosted.load(Ordering::Relaxed) || !is_before(own, key);
        let mut locked = self.lock(cpu);
        let next = locked
            .as_mut()
            .and_then(|locked| locked.queue.claim(cpu, now_ns, is_owed_more));
        (next, locked)
    }

    /// Marks the processor idle, unless there is something to run after all.
    fn go_idle(&self, cpu: CpuId, now_ns: u64) -> Decision<V> {
        // Marked before the queues are looked at, so that whoever adds to one after this look sees it.
        self.idle.set(cpu);
        crate::sync::model_fence();
        let mut looks_again = LooksAgain::default();
        let own = self.lock(cpu).and_then(|mut locked| {
            let own = locked.queue.claim(cpu, now_ns, |_, _| true);
            looks_again.at_once |= core::mem::take(&mut locked.queue.is_unfinished);
            own
        });
        let own = own.map(|vcpu| (vcpu, cpu));
        if let Some((vcpu, from)) = own.or_else(|| self.help(cpu, now_ns, &mut looks_again)) {
            self.idle.clear(cpu);
            let until_ns = self.lock(cpu).map_or(now_ns, |mut locked| {
                self.begin_turn(&mut locked.queue, now_ns, vcpu.unit())
            });
            // Others may wait there, too, and others be idle.
            let movable = self
                .cpu(from)
                .map(|cpu| cpu.nr_movable.load(Ordering::Relaxed));
            let has_others = movable.is_some_and(|count| count != 0);
            return Decision {
                pick: Pick::Switch(vcpu),
                until_ns: Some(until_ns),
                poke: if has_others {
                    self.offer(from)
                } else {
                    Poke(None)
                },
            };
        }
        let parked_ns = self
            .lock(cpu)
            .and_then(|locked| locked.queue.first_parked_ns());
        let delay_ns = self.migration_delay_ns.load(Ordering::Relaxed);
        let warm_ns = looks_again
            .when_cold
            .then(|| now_ns.saturating_add(delay_ns));
        let rest_ns = looks_again.at_once.then_some(now_ns);
        let until_ns = parked_ns.into_iter().chain(warm_ns).chain(rest_ns).min();
        Decision {
            pick: Pick::Idle,
            until_ns: until_ns.map(|until_ns| until_ns.max(now_ns)),
            poke: Poke(None),
        }
    }
}

impl<V> Queue<V> {
    /// Those of who runs are these: the level is there, unless somebody who waits is below.
    fn rise_to(&mut self, charged: u64) {
        let here = self
            .first_charged()
            .map_or(charged, |first| earlier(charged, first));
        self.level = later(self.level, here);
    }
}

/// Charges the vCPU that runs for the time since that was done last.
fn charge<V>(queue: &mut Queue<V>, unit: &Unit, now_ns: u64) {
    let ran_ns = now_ns.saturating_sub(unit.charged_ns.swap(now_ns, Ordering::Relaxed));
    unit.share.account(now_ns);
    let charged = unit.charged().wrapping_add(unit.share.charge(ran_ns));
    unit.charged.store(charged, Ordering::Relaxed);
    if let Some(left_ns) = unit.grant_ns() {
        unit.set_grant(Some(left_ns.saturating_sub_unsigned(ran_ns)));
    }
    if now_ns.saturating_sub(unit.began_ns.load(Ordering::Relaxed)) >= TICK_NS {
        unit.is_boosted.store(false, Ordering::Relaxed);
    }
    queue.rise_to(charged);
}
