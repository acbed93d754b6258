//! One processor's queue.
//!
//! It has three parts, in one array that has room for every vCPU there is, so that nothing here allocates:
//! those that were woken and go first, the most [urgent](Unit::urgency) first; those that wait, the one that has been charged least
//! first; and those that are parked, the one that goes on first first. Finding a place takes a binary search, making it moves what
//! is before or behind, whichever is less. No more than [`BATCH`] are parked, or go on, while the lock is held once.
#![forbid(unsafe_code)]

extern crate alloc;

use super::owed::Owed;
use super::share::Grant;
use super::unit::{Entry, Place, Unit};
use super::{TICK_NS, steps};
use crate::sched::SchedVcpu;
use crate::sched::cpu_set::CpuId;
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use crate::sync::{Lock, rank};
use alloc::collections::VecDeque;

/// How far the charges of who was away may lie from those of where it comes back to, in ns of its running.
pub(super) const BOUND_NS: u64 = 60_000_000;

/// So many times that one may be charged more who was away, for what others of its domain have run meanwhile.
const MOST_FOR_OTHERS: u64 = 2;

/// By how much more than the level is charged on average, in ns of a vCPU's running: half of a usual slice.
const AVERAGE_NS: u64 = 15_000_000;

/// Within so much a look is made up for.
const LOOK_AGAIN_NS: u64 = 1_000_000;

/// How many are parked at most, and how many go on, before the lock is released.
pub(super) const BATCH: usize = 16;

/// Whether charges or times `a` are less than `b`. They grow without end, and may wrap: what is compared is never
/// half of all numbers apart.
pub(super) const fn is_before(a: u64, b: u64) -> bool {
    (a.wrapping_sub(b) as i64) < 0
}

pub(super) const fn earlier(a: u64, b: u64) -> u64 {
    if is_before(b, a) { b } else { a }
}

pub(super) const fn later(a: u64, b: u64) -> u64 {
    if is_before(a, b) { b } else { a }
}

#[derive(Debug)]
pub(super) struct Waiter<V> {
    /// By what they are sorted. Of those that were woken: how urgent they are. Of those that wait: charges. Of the parked: the
    /// time when they go on.
    key: u64,
    /// It may run elsewhere.
    pub(super) is_movable: bool,
    /// It may not run everywhere.
    is_pinned: bool,
    pub(super) vcpu: V,
}

/// Some of those that wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Among {
    /// Those that were woken.
    Urgent,
    /// Those and the others.
    All,
}

#[derive(Debug)]
pub(super) struct Queue<V> {
    pub(super) waiters: VecDeque<Waiter<V>>,
    nr_boosted: usize,
    nr_waiting: usize,
    /// Those among both that may run elsewhere.
    nr_movable: u32,
    /// Those that wait and may not run everywhere.
    nr_pinned: u32,
    /// Where charges are here: those of who runs, or the least of who waits. Only grows.
    pub(super) level: u64,
    /// When the vCPU that runs gives way to others that wait.
    pub(super) slice_end_ns: u64,
    /// When the processor looks next at what others have.
    pub(super) next_look_ns: u64,
    /// Since the last look somebody has waited for the processor while it ran another one.
    pub(super) was_contended: bool,
    /// A look came to nothing, as a turn began or ended just then.
    pub(super) is_look_owed: bool,
    /// Throws the time of the next one.
    dice: u32,
    /// When it next looks for somebody elsewhere who is owed more, if no slice ends before.
    pub(super) next_relief_ns: u64,
    /// Before that none that is woken takes the place of the vCPU that runs.
    pub(super) may_go_ns: u64,
    /// The same, as long as nothing else is to be seen to before.
    pub(super) settled_ns: u64,
    /// How far ahead of the time those are whose turns ended before their rate limit did.
    pub(super) early_ns: u64,
    /// The vCPU that runs wants to give way.
    pub(super) has_yielded: bool,
    /// The vCPU that runs was woken just now.
    pub(super) is_running_boosted: bool,
    /// Who waits has changed, and others have not been shown it.
    is_changed: bool,
    /// What others were shown of `is_running_boosted`.
    shown_boosted: bool,
    /// The last search for somebody to run has parked so many that it has stopped before its end.
    pub(super) is_unfinished: bool,
}

/// A processor. All but the queue is for others to look at without its lock.
#[derive(Debug)]
pub(super) struct Cpu<V> {
    pub(super) queue: Lock<Queue<V>, { rank::RUN_QUEUE }>,
    /// How many wait, the boosted included.
    pub(super) nr_waiting: AtomicU32,
    /// How many of them may run elsewhere.
    pub(super) nr_movable: AtomicU32,
    /// Whether one that was woken waits, or runs.
    pub(super) nr_boosted: AtomicU32,
    /// How many of those that were woken wait.
    pub(super) nr_urgent: AtomicU32,
    /// Charges of the first of those that wait and may run elsewhere.
    pub(super) first: AtomicU64,
    /// Its queue's `settled_ns`.
    pub(super) settled_ns: AtomicU64,
    pub(super) is_online: AtomicBool,
    /// It sleeps no more, or not for long, for somebody that waits in its own queue, and has not looked yet.
    pub(super) is_called: AtomicBool,
}

impl<V> Cpu<V> {
    pub(super) fn new() -> Self {
        Self {
            queue: Lock::new(Queue {
                waiters: VecDeque::new(),
                nr_boosted: 0,
                nr_waiting: 0,
                nr_movable: 0,
                nr_pinned: 0,
                level: 0,
                slice_end_ns: 0,
                next_look_ns: 0,
                was_contended: false,
                is_look_owed: false,
                dice: 1,
                next_relief_ns: 0,
                may_go_ns: 0,
                settled_ns: 0,
                early_ns: 0,
                has_yielded: false,
                is_running_boosted: false,
                is_changed: false,
                shown_boosted: false,
                is_unfinished: false,
            }),
            nr_waiting: AtomicU32::new(0),
            nr_movable: AtomicU32::new(0),
            nr_boosted: AtomicU32::new(0),
            nr_urgent: AtomicU32::new(0),
            first: AtomicU64::new(0),
            settled_ns: AtomicU64::new(0),
            is_online: AtomicBool::new(false),
            is_called: AtomicBool::new(false),
        }
    }

    /// Whether it was called since it has last looked.
    #[inline]
    pub(super) fn answer_call(&self) -> bool {
        self.is_called.load(Ordering::Relaxed) && self.is_called.swap(false, Ordering::SeqCst)
    }

    /// Whether somebody waits there whom an idle processor may take: not who waits alone for one that is about to come.
    pub(super) fn needs_help(&self) -> bool {
        match self.nr_waiting.load(Ordering::SeqCst) {
            0 => false,
            1 => !self.is_called.load(Ordering::SeqCst),
            _ => true,
        }
    }

    /// Shows others what is in the queue, if it has changed.
    #[inline]
    pub(super) fn publish(&self, queue: &mut Queue<V>) {
        self.settled_ns.store(queue.settled_ns, Ordering::Relaxed);
        if core::mem::take(&mut queue.is_changed) || queue.is_running_boosted != queue.shown_boosted
        {
            queue.shown_boosted = queue.is_running_boosted;
            self.show(queue);
        }
    }

    fn show(&self, queue: &Queue<V>) {
        // No more than there is room for, which is counted in 32 bits.
        let (waiting, boosted) = (queue.nr_waiting() as u32, queue.nr_boosted as u32);
        self.nr_urgent.store(boosted, Ordering::Relaxed);
        if queue.nr_movable != 0
            && let Some(first) = queue.first_among_waiting(|waiter| waiter.is_movable)
        {
            self.first.store(first.key, Ordering::Relaxed);
        }
        let boosted = boosted.wrapping_add(queue.is_running_boosted.into());
        self.nr_boosted.store(boosted, Ordering::Relaxed);
        self.nr_movable.store(queue.nr_movable, Ordering::Relaxed);
        // Idle processors look at it without the lock, after they have marked themselves.
        self.nr_waiting.store(waiting, Ordering::SeqCst);
    }
}

impl<V> Queue<V> {
    fn count(&self, among: Among) -> usize {
        match among {
            Among::Urgent => self.nr_boosted,
            Among::All => self.nr_waiting(),
        }
    }

    /// A look at what others have is made up for soon, at a time that nobody foresees: if turns begin and end in step with looks, those
    /// that are owed more elsewhere may wait at all times but these.
    pub(super) fn look_again(&mut self, now_ns: u64) {
        self.dice = self
            .dice
            .wrapping_mul(1_664_525)
            .wrapping_add(1_013_904_223);
        self.is_look_owed = true;
        self.next_look_ns =
            now_ns.saturating_add(LOOK_AGAIN_NS / 16 * (1 + u64::from(self.dice >> 28)));
    }

    /// It has looked at what others have.
    pub(super) fn has_looked(&mut self, now_ns: u64) {
        self.is_look_owed = false;
        self.next_look_ns = now_ns.saturating_add(TICK_NS);
    }

    /// How many wait.
    pub(super) fn nr_waiting(&self) -> usize {
        self.nr_boosted + self.nr_waiting
    }

    pub(super) fn nr_boosted(&self) -> usize {
        self.nr_boosted
    }

    /// Charges of the first of those that wait.
    pub(super) fn first_charged(&self) -> Option<u64> {
        (self.nr_waiting != 0)
            .then(|| self.waiters.get(self.nr_boosted))
            .flatten()
            .map(|waiter| waiter.key)
    }

    /// The first `wanted` of those that wait, in the order of charges.
    fn first_among_waiting(&self, wanted: impl Fn(&Waiter<V>) -> bool) -> Option<&Waiter<V>> {
        let mut at = self.nr_boosted;
        while at < self.nr_waiting() {
            steps::note(1);
            let waiter = self.waiters.get(at)?;
            if wanted(waiter) {
                return Some(waiter);
            }
            at += 1;
        }
        None
    }

    /// The first of those that wait, in the order of charges, and may not run everywhere.
    pub(super) fn first_pinned(&self) -> Option<&Unit>
    where
        V: SchedVcpu<Unit>,
    {
        if self.nr_pinned == 0 {
            return None;
        }
        self.first_among_waiting(|waiter| waiter.is_pinned)
            .map(|waiter| waiter.vcpu.unit())
    }

    /// The first of those that wait, in the order of charges, and may run on another processor.
    pub(super) fn first_waiting_for(&self, cpu: CpuId) -> Option<&Unit>
    where
        V: SchedVcpu<Unit>,
    {
        self.first_among_waiting(|waiter| waiter.vcpu.unit().may_run_on(cpu))
            .map(|waiter| waiter.vcpu.unit())
    }

    /// The one that has been charged most of those that wait.
    pub(super) fn last_waiting(&self) -> Option<&Unit>
    where
        V: SchedVcpu<Unit>,
    {
        let last = self.nr_waiting.checked_sub(1)? + self.nr_boosted;
        self.waiters.get(last).map(|waiter| waiter.vcpu.unit())
    }

    /// Whether one that was woken goes before who runs, when that has run for the rate limit.
    pub(super) fn is_urgent(&self, running: &Unit) -> bool {
        let first = self.waiters.front().filter(|_| self.nr_boosted != 0);
        first.is_some_and(|first| {
            !running.is_boosted.load(Ordering::Relaxed) || is_before(first.key, running.urgency())
        })
    }

    /// When the first of the parked goes on.
    pub(super) fn first_parked_ns(&self) -> Option<u64> {
        self.waiters.get(self.nr_waiting()).map(|first| first.key)
    }

    /// Where in `from..to` somebody with this key goes, behind equals.
    fn place_for(&self, from: usize, to: usize, key: u64) -> usize {
        let (mut low, mut high) = (from, to);
        while low < high {
            steps::note(1);
            let middle = low.midpoint(high);
            let is_behind = self
                .waiters
                .get(middle)
                .is_some_and(|waiter| !is_before(key, waiter.key));
            if is_behind {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

impl<V: SchedVcpu<Unit>> Queue<V> {
    fn insert(&mut self, at: usize, key: u64, vcpu: &V, place: Place) {
        debug_assert!(self.waiters.len() < self.waiters.capacity());
        let unit = vcpu.unit();
        unit.set_place(place);
        self.is_changed = true;
        match place {
            Place::Boosted => self.nr_boosted += 1,
            Place::Waiting => self.nr_waiting += 1,
            Place::Parked | Place::Nowhere => {}
        }
        let is_movable = !unit.is_bound();
        let is_pinned = place == Place::Waiting && !unit.is_free();
        self.nr_pinned += u32::from(is_pinned);
        if place != Place::Parked && is_movable {
            self.nr_movable += 1;
        }
        let vcpu = vcpu.clone();
        steps::note(at.min(self.waiters.len() - at));
        let waiter = Waiter {
            key,
            is_movable,
            is_pinned,
            vcpu,
        };
        // Where most are taken from, and many come to.
        if at == 0 {
            self.waiters.push_front(waiter);
        } else {
            self.waiters.insert(at, waiter);
        }
    }

    pub(super) fn push_boosted(&mut self, vcpu: &V) {
        let key = vcpu.unit().urgency();
        let at = self.place_for(0, self.nr_boosted, key);
        self.insert(at, key, vcpu, Place::Boosted);
    }

    /// Adds one that waits; one that gives way behind everybody.
    pub(super) fn push_waiting(&mut self, vcpu: &V) {
        let unit = vcpu.unit();
        let (from, to) = (self.nr_boosted, self.nr_waiting());
        let mut key = unit.charged();
        if unit.is_yielding.swap(false, Ordering::Relaxed)
            && let Some(last) = to.checked_sub(1).filter(|last| *last >= from)
            && let Some(last) = self.waiters.get(last)
        {
            key = later(key, last.key);
        }
        let at = self.place_for(from, to, key);
        self.insert(at, key, vcpu, Place::Waiting);
    }

    pub(super) fn push_parked(&mut self, vcpu: &V, until_ns: u64) {
        let at = self.place_for(self.nr_waiting(), self.waiters.len(), until_ns);
        self.insert(at, until_ns, vcpu, Place::Parked);
    }

    fn remove(&mut self, at: usize) -> Option<V> {
        steps::note(at.min(self.waiters.len().saturating_sub(at)));
        let Waiter {
            is_movable,
            is_pinned,
            vcpu,
            ..
        } = if at == 0 {
            self.waiters.pop_front()
        } else {
            self.waiters.remove(at)
        }?;
        self.nr_pinned -= u32::from(is_pinned);
        self.is_changed = true;
        let unit = vcpu.unit();
        let was = unit.place();
        match was {
            Place::Boosted => self.nr_boosted -= 1,
            Place::Waiting => self.nr_waiting -= 1,
            Place::Parked | Place::Nowhere => {}
        }
        if was != Place::Parked && is_movable {
            self.nr_movable -= 1;
        }
        unit.set_place(Place::Nowhere);
        Some(vcpu)
    }

    /// Takes this one out, which may be in any part.
    pub(super) fn take(&mut self, unit: &Unit) {
        let at = self
            .waiters
            .iter()
            .inspect(|_| steps::note(1))
            .position(|waiter| core::ptr::eq(waiter.vcpu.unit(), unit));
        if let Some(at) = at {
            let _ = self.remove(at);
        }
    }

    /// Takes any one out.
    pub(super) fn take_any(&mut self) -> Option<V> {
        let last = self.waiters.len().checked_sub(1)?;
        self.remove(last)
    }

    /// Takes the first out that waits, may run on `cpu` and is `wanted`, claimed for it and with a grant. Those whose
    /// domain's cap leaves nothing are parked; if they are many, the search [ends](Self::is_unfinished) before all were looked at.
    pub(super) fn claim(
        &mut self,
        cpu: CpuId,
        now_ns: u64,
        wanted: impl FnMut(&Unit, u64) -> bool,
    ) -> Option<V> {
        self.claim_among(Among::All, cpu, now_ns, wanted)
    }

    /// The same, of some of those that wait.
    pub(super) fn claim_among(
        &mut self,
        among: Among,
        cpu: CpuId,
        now_ns: u64,
        mut wanted: impl FnMut(&Unit, u64) -> bool,
    ) -> Option<V> {
        let (mut at, mut nr_parked) = (0, 0);
        self.is_unfinished = false;
        while at < self.count(among) {
            steps::note(1);
            let waiter = self.waiters.get(at)?;
            let (unit, run) = (waiter.vcpu.unit(), waiter.vcpu.run_state());
            let charged = if at < self.nr_boosted {
                unit.charged()
            } else {
                waiter.key
            };
            if !unit.may_run_on(cpu) || !wanted(unit, charged) || !run.is_runnable() {
                at += 1;
                continue;
            }
            match unit.share.take(now_ns) {
                Grant::Unlimited => unit.set_grant(None),
                Grant::For(ns) => unit.set_grant(Some(ns as i64)),
                Grant::NotBefore(_) if nr_parked == BATCH => {
                    self.is_unfinished = true;
                    return None;
                }
                Grant::NotBefore(until_ns) => {
                    let vcpu = self.remove(at)?;
                    self.push_parked(&vcpu, until_ns);
                    nr_parked += 1;
                    continue;
                }
            }
            if run.start_running() {
                return self.remove(at);
            }
            unit.return_grant(now_ns);
            at += 1;
        }
        None
    }

    /// Whether it is under its share where charges are at `level`: it has been charged less than others have on average, of whom
    /// one at least is at the level. It must not matter how much those have been charged that run: two that wake each other would
    /// both be boosted for ever, while their charges grow, and pass by somebody who waits.
    pub(super) fn is_under(unit: &Unit, level: u64) -> bool {
        let average = level.wrapping_add(unit.share.charge(AVERAGE_NS));
        !is_before(average, unit.charged())
    }

    /// Lets those go on whose time has come, or the first of them if they are many: then it is to be called again. Says whether
    /// there were any.
    pub(super) fn unpark(&mut self, now_ns: u64) -> bool {
        let mut any = false;
        for _ in 0..BATCH {
            if self.first_parked_ns().is_none_or(|then| then > now_ns) {
                break;
            }
            let Some(vcpu) = self.remove(self.nr_waiting()) else {
                break;
            };
            any = true;
            let is_under = Self::is_under(vcpu.unit(), self.level);
            vcpu.unit().is_boosted.store(is_under, Ordering::Relaxed);
            if is_under {
                self.push_boosted(&vcpu);
            } else {
                self.push_waiting(&vcpu);
            }
        }
        any
    }

    /// Brings charges of somebody that comes from elsewhere, or was away, to where they are here. It has just been charged `for_others`.
    pub(super) fn admit(&self, unit: &Unit, level: u64, for_others: u64, owed: &Owed) {
        let entry = unit.take_entry();
        if entry == Entry::AsItIs {
            return;
        }
        let bound = unit.share.charge(BOUND_NS);
        let lowest = level.wrapping_sub(owed.most_below(unit, bound));
        let charged = if entry == Entry::Fresh {
            lowest.wrapping_add(bound)
        } else {
            let most = bound + for_others.min(MOST_FOR_OTHERS * bound);
            earlier(later(unit.charged(), lowest), level.wrapping_add(most))
        };
        unit.charged.store(charged, Ordering::Relaxed);
    }
}
