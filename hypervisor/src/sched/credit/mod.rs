//! The credit scheduler: domains share the processors by weight, up to their caps.
//!
//! # Credit
//! Every vCPU is [charged](share) for the time that it has run, the less the greater its domain's weight is. Where charges are
//! on a processor is its *level*: those of who runs there, or the least of who waits. On average they are half a slice above it.
//! A vCPU below that has *credit*, and is **under** its share; one above is **over** it. Who waits is served in the order of charges, which is that of
//! credit: under before over, and among those that are over whoever is least. Nothing is sampled: each nanosecond is charged to
//! who has run it.
//!
//! A vCPU that is woken and is under its share is **boosted**: it goes before all that are not, at once, and loses that when it has
//! run for a tick. So that nobody is interrupted all the time, a processor ends some turns so early
//! ([`pick::EARLY_IN_LIMIT`] in the time of a rate limit, in the long run); beyond that who runs has run for the rate limit
//! before, and so has who is boosted itself. One that was away comes back with at most what it would have had after a
//! short while ([`queue::BOUND_NS`]): credit is not saved. Among the boosted that goes first which has used least of that since, whatever
//! its weight is; one that has run for the rate limit gives way to such a one, and is boosted no longer. So who comes back to a queue
//! in which many others do at the same moment waits for a rate limit of each at most, and only once. The first domain's go before all
//! others: they wait for one rate limit, however many guests there are. They are boosted under their domain's share only, so
//! guests lose nothing by that but a moment.
//!
//! A processor's turn is a time slice; every tick it looks at its accounts. What is done every 30 ms in other
//! credit schedulers, handing out credit to all that are active, has no counterpart here, because charges are relative: a
//! domain's [share] is brought up to date by whoever charges one of its vCPUs.
//!
//! # Processors
//! Each has a [queue], whose lock protects it; never two at once. Charges are compared across queues: when a slice
//! ends, a processor takes a vCPU from elsewhere that is owed more than what it has itself, by a third of a slice of that vCPU's time.
//! So shares are those of the whole machine, not of one queue. If a turn begins or
//! ends just when it looks for such a one, it looks again soon, at a time that nobody foresees: those that wait may do so at all times but
//! these. A processor without work takes any that may run there, first one that likes to.
//!
//! vCPUs that are bound to a processor, or to some, compare with each other only while somebody waits, so that their charges
//! may fall behind those elsewhere, or get ahead of them, without end, and keep their proportions. Those that may run
//! everywhere follow one level ([`Credit::free_level`]): what they are owed is bounded. While nobody waits nobody is owed
//! anything, and all that run follow it. Those that may run everywhere come
//! to a queue near that level, whatever the bound ones there have made of the queue's. One that comes to run where
//! somebody bound competes is owed no more before that one than slices come to (60 ms, or two slices, of the
//! running of either): so each of them keeps a bound one waiting for that once, however long that one had run alone before. A bound
//! one is owed no more than that before whoever waits for another processor and might run there, and three times that before who waits for
//! its own, which may owe something itself.
//!
//! A vCPU's *home* is the processor in whose queue it is, or whose it will be next. In which part of a queue it is, is noted with
//! it, and protected by the lock of its home's queue. The home changes only while it is in none and that lock is held, so locking
//! it is: read the home, lock, see that it is still the home.
//!
//! # No wake-up is lost
//! A processor marks itself idle, and then looks at all queues. Whoever adds to a queue does so, and then looks for an
//! idle processor, takes the mark off and pokes it. One of the two sees the other. Who waits alone for its home, which is poked, is
//! left to it by others that have nothing to do; if the home takes somebody else, it offers it to them. A processor that is not
//! idle looks again after a tick at the latest. Parked vCPUs are looked after by their home, which wakes for them: whoever parks one in the queue of another
//! processor marks that, and who picks next pokes it if it sleeps.
//!
//! # What a decision costs
//! A constant, plus the logarithm of the number of vCPUs that wait in the queue, plus moving some of those in memory; when it looks
//! elsewhere, a look at a cache line of each processor, and a pass over one queue (over those of others, when there is
//! nothing to run). When a turn ends, and somebody waits who may not run everywhere, there is a pass over its own queue, up to the
//! first of those. vCPUs that don't want to run are in no queue, and no list. `costs` counts all this; the numbers are in
//! `docs/PERFORMANCE.md`.
//!
//! No more than [`queue::BATCH`] vCPUs are parked, or go on, while a lock is held: if there are more, the processor picks again at
//! once, with interrupts let in between.
#![forbid(unsafe_code)]

extern crate alloc;

#[cfg(all(test, not(loom)))]
mod affinity_tests;
#[cfg(all(test, not(loom)))]
mod cap_tests;
#[cfg(all(test, not(loom)))]
mod costs;
#[cfg(all(test, not(loom)))]
mod early_tests;
mod help;
#[cfg(all(test, not(loom)))]
mod hostile;
mod idle;
#[cfg(all(test, not(loom)))]
mod long_run;
mod owed;
mod pick;
#[cfg(all(test, not(loom)))]
mod properties;
mod queue;
mod share;
#[cfg(all(test, not(loom)))]
mod simulator;
#[cfg(all(test, not(loom)))]
mod step_tests;
mod steps;
mod together;
mod unit;
mod wake;
mod window;

pub use share::{DEFAULT_WEIGHT, Share};
pub use unit::Unit;

use super::cpu_set::{CpuId, CpuSet};
use super::{Decision, Poke, SchedError, SchedVcpu, Scheduler};
use crate::growth::make_room;
use crate::lock::InterruptsOff;
use crate::options::Options;
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::sync::{LockGuard, rank};
use alloc::boxed::Box;
use alloc::vec::Vec;
use idle::CpuMask;
use owed::Owed;
use queue::{Cpu, Queue};
use unit::Place;

/// How often a processor that runs something looks at its accounts, in ns.
pub const TICK_NS: u64 = 10_000_000;

/// What an administrator may set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Parameters {
    /// How long a vCPU runs while others wait.
    pub slice_ns: u64,
    /// How long it runs at least before one that is woken takes its place, but for a few times.
    pub ratelimit_ns: u64,
    /// For how long it stays where its caches are warm.
    pub migration_delay_ns: u64,
}

impl Parameters {
    /// What holds when nothing is said.
    pub const DEFAULT: Self = Self {
        slice_ns: 30_000_000,
        ratelimit_ns: 1_000_000,
        migration_delay_ns: 0,
    };

    /// What the options say.
    #[must_use]
    pub fn of(options: &Options) -> Self {
        let slice_ns = u64::from(options.sched_credit_tslice_ms) * 1_000_000;
        let ratelimit_ns = u64::from(options.sched_ratelimit_us) * 1000;
        Self {
            slice_ns,
            ratelimit_ns: ratelimit_ns.min(slice_ns),
            ..Self::DEFAULT
        }
    }
}

/// The scheduler.
#[derive(Debug)]
pub struct Credit<V> {
    cpus: Box<[Cpu<V>]>,
    nr_vcpus: AtomicU32,
    /// How many of those that may run everywhere want to run.
    nr_free: AtomicU32,
    online: CpuMask,
    /// Counts changes of that.
    online_changes: AtomicU32,
    idle: CpuMask,
    /// Those where another one has parked somebody.
    has_parked: CpuMask,
    /// Where charges of those are that may run everywhere.
    free_level: AtomicU64,
    /// What one of them is owed at most.
    owed: Owed,
    slice_ns: AtomicU64,
    ratelimit_ns: AtomicU64,
    migration_delay_ns: AtomicU64,
}

/// A queue, locked, with interrupts off. Others see what has become of it when it is unlocked.
struct Locked<'a, V> {
    cpu: &'a Cpu<V>,
    // Declared before the other: the lock is released before interrupts come back on.
    queue: LockGuard<'a, Queue<V>, { rank::RUN_QUEUE }>,
    _interrupts: InterruptsOff,
}

impl<V> Drop for Locked<'_, V> {
    fn drop(&mut self) {
        self.cpu.publish(&mut self.queue);
    }
}

impl<V: SchedVcpu<Unit>> Credit<V> {
    /// For processors below `nr_cpus`, all off line.
    pub fn new(nr_cpus: u32, parameters: Parameters) -> Result<Self, SchedError> {
        let mut cpus = Vec::new();
        cpus.try_reserve_exact(nr_cpus as usize)
            .map_err(|_| SchedError::OutOfMemory)?;
        cpus.extend((0..nr_cpus).map(|_| Cpu::new()));
        Ok(Self {
            cpus: cpus.into_boxed_slice(),
            nr_vcpus: AtomicU32::new(0),
            nr_free: AtomicU32::new(0),
            online: CpuMask::new(nr_cpus)?,
            online_changes: AtomicU32::new(0),
            idle: CpuMask::new(nr_cpus)?,
            has_parked: CpuMask::new(nr_cpus)?,
            free_level: AtomicU64::new(0),
            owed: Owed::new(nr_cpus),
            slice_ns: AtomicU64::new(parameters.slice_ns),
            ratelimit_ns: AtomicU64::new(parameters.ratelimit_ns),
            migration_delay_ns: AtomicU64::new(parameters.migration_delay_ns),
        })
    }

    /// What is set.
    pub fn parameters(&self) -> Parameters {
        Parameters {
            slice_ns: self.slice_ns.load(Ordering::Relaxed),
            ratelimit_ns: self.ratelimit_ns.load(Ordering::Relaxed),
            migration_delay_ns: self.migration_delay_ns.load(Ordering::Relaxed),
        }
    }

    /// Sets it. A processor follows from its next decision on.
    pub fn set_parameters(&self, wish: Parameters) {
        self.slice_ns.store(wish.slice_ns, Ordering::Relaxed);
        self.ratelimit_ns
            .store(wish.ratelimit_ns, Ordering::Relaxed);
        self.migration_delay_ns
            .store(wish.migration_delay_ns, Ordering::Relaxed);
    }

    /// Where a vCPU should run, among those where it may, if it can be had.
    pub fn soft_affinity(&self, vcpu: &V) -> CpuSet {
        vcpu.unit().soft()
    }

    /// Says where a vCPU should run. It moves when a processor looks for somebody to run; one that runs alone, at the next tick at
    /// which a processor that it likes is idle.
    pub fn set_soft_affinity(&self, vcpu: &V, affinity: &CpuSet) {
        vcpu.unit().set_soft(affinity);
    }

    fn cpu(&self, cpu: CpuId) -> Option<&Cpu<V>> {
        self.cpus.get(cpu.0 as usize)
    }

    fn lock(&self, cpu: CpuId) -> Option<Locked<'_, V>> {
        let interrupts = InterruptsOff::new();
        let cpu = self.cpu(cpu)?;
        let queue = cpu.queue.lock();
        steps::note_locked();
        Some(Locked {
            cpu,
            queue,
            _interrupts: interrupts,
        })
    }

    /// Locks the queue of a vCPU's home.
    fn lock_home(&self, vcpu: &V) -> Option<(CpuId, Locked<'_, V>)> {
        loop {
            let home = vcpu.unit().home();
            let locked = self.lock(home)?;
            if vcpu.unit().home() == home {
                return Some((home, locked));
            }
        }
    }

    fn online(&self) -> impl Iterator<Item = (CpuId, &Cpu<V>)> {
        (0..)
            .map(CpuId)
            .zip(&self.cpus)
            .inspect(|_| steps::note(1))
            .filter(|(_, cpu)| cpu.is_online.load(Ordering::Acquire))
    }

    /// The processors on line but one, from the one after that on, so that not all come to the same one first.
    fn others(&self, cpu: CpuId) -> impl Iterator<Item = (CpuId, &Cpu<V>)> {
        let above = self.online().filter(move |(id, _)| *id > cpu);
        above.chain(self.online().filter(move |(id, _)| *id < cpu))
    }

    /// The processor with the fewest waiting among those on line in `affinity`.
    fn least_loaded(&self, affinity: &CpuSet) -> Option<CpuId> {
        let load = |id: CpuId, cpu: &Cpu<V>| {
            let waiting = cpu.nr_waiting.load(Ordering::Acquire);
            (!self.idle.contains(id), waiting)
        };
        self.online()
            .filter(|(id, _)| affinity.contains(*id))
            .min_by_key(|(id, cpu)| load(*id, cpu))
            .map(|(id, _)| id)
    }

    /// Whether a vCPU may wait for, or run on, a processor.
    fn is_fit(&self, unit: &Unit, cpu: CpuId) -> bool {
        unit.may_run_on(cpu)
            && self
                .cpu(cpu)
                .is_some_and(|cpu| cpu.is_online.load(Ordering::Acquire))
    }

    /// Notes whether it may run everywhere.
    fn note_free(&self, unit: &Unit) {
        // Before the mask: a change that this does not see is seen the next time.
        let changes = self.online_changes.load(Ordering::Acquire);
        let online = self.online.all();
        let is_free = !unit.is_bound() && unit.hard().intersection(&online) == online;
        unit.is_free.store(is_free, Ordering::Relaxed);
        unit.is_free_as_of.store(changes, Ordering::Relaxed);
    }

    /// The same, if processors came or went since.
    fn note_free_anew(&self, unit: &Unit) {
        let as_of = unit.is_free_as_of.load(Ordering::Relaxed);
        if as_of != self.online_changes.load(Ordering::Acquire) {
            self.note_free(unit);
        }
    }
}

impl<V: SchedVcpu<Unit>> Scheduler<V> for Credit<V> {
    fn add(&self, vcpu: &V, affinity: CpuSet) -> Result<(), SchedError> {
        let usable = || self.online().filter(|(id, _)| affinity.contains(*id));
        let nr_usable = usable().count().max(1);
        let nth = self.nr_vcpus.load(Ordering::Acquire) as usize % nr_usable;
        let (home, _) = usable().nth(nth).ok_or(SchedError::NoCpu)?;
        let count = self
            .nr_vcpus
            .fetch_add(1, Ordering::AcqRel)
            .saturating_add(1);
        for cpu in (0..).map(CpuId).take(self.cpus.len()) {
            let made = make_room(count as usize, |action| {
                if let Some(mut locked) = self.lock(cpu) {
                    action(&mut locked.queue.waiters);
                }
            });
            if made.is_err() {
                self.nr_vcpus.fetch_sub(1, Ordering::AcqRel);
                return Err(SchedError::OutOfMemory);
            }
        }
        let unit = vcpu.unit();
        unit.set_home(home);
        unit.set_hard(&affinity);
        self.note_free(unit);
        Ok(())
    }

    fn remove(&self, vcpu: &V, now_ns: u64) {
        debug_assert!(!vcpu.run_state().is_running());
        let _ = self.sleep(vcpu, now_ns);
        self.nr_vcpus.fetch_sub(1, Ordering::AcqRel);
    }

    fn wake(&self, vcpu: &V, now_ns: u64) -> Poke {
        self.enqueue(vcpu, now_ns)
    }

    fn settled_until(&self, cpu: CpuId) -> u64 {
        self.cpu(cpu)
            .map_or(0, |cpu| cpu.settled_ns.load(Ordering::Relaxed))
    }

    fn sleep(&self, vcpu: &V, now_ns: u64) -> Poke {
        let Some((home, mut locked)) = self.lock_home(vcpu) else {
            return Poke(None);
        };
        let (run, unit) = (vcpu.run_state(), vcpu.unit());
        if run.is_runnable() {
            return Poke(None);
        }
        if unit.place() != Place::Nowhere {
            locked.queue.take(unit);
        }
        if run.is_running() {
            // A processor that runs it is its home.
            return Poke(Some(home));
        }
        self.stop_counting(unit, now_ns);
        Poke(None)
    }

    fn yield_now(&self, cpu: CpuId) {
        if let Some(mut locked) = self.lock(cpu) {
            locked.queue.has_yielded = true;
        }
    }

    fn pick_next(&self, cpu: CpuId, now_ns: u64, current: Option<&V>) -> Decision<V> {
        self.pick(cpu, now_ns, current)
    }

    fn descheduled(&self, _cpu: CpuId, vcpu: &V, now_ns: u64) -> Poke {
        let (run, unit) = (vcpu.run_state(), vcpu.unit());
        unit.return_grant(now_ns);
        unit.end_running();
        if run.stop_running() {
            return self.enqueue(vcpu, now_ns);
        }
        // Mostly its processor has known for long.
        if unit.is_counted.load(Ordering::Relaxed) {
            let _ = self.sleep(vcpu, now_ns);
        }
        Poke(None)
    }

    fn set_affinity(&self, vcpu: &V, affinity: CpuSet, now_ns: u64) -> Result<Poke, SchedError> {
        if self.least_loaded(&affinity).is_none() {
            return Err(SchedError::NoCpu);
        }
        let unit = vcpu.unit();
        let Some((home, mut locked)) = self.lock_home(vcpu) else {
            return Ok(Poke(None));
        };
        let is_queued = unit.place() != Place::Nowhere;
        if is_queued {
            locked.queue.take(unit);
        }
        unit.set_hard(&affinity);
        self.note_free(unit);
        unit.comes_from_elsewhere();
        if is_queued {
            drop(locked);
            return Ok(self.enqueue(vcpu, now_ns));
        }
        Ok(Poke(vcpu.run_state().is_running().then_some(home)))
    }

    fn affinity(&self, vcpu: &V) -> CpuSet {
        vcpu.unit().hard()
    }

    fn set_online(&self, cpu: CpuId, is_online: bool, poke: &mut dyn FnMut(Poke)) {
        let Some(state) = self.cpu(cpu) else {
            return;
        };
        state.is_online.store(is_online, Ordering::SeqCst);
        if is_online {
            self.online.set(cpu);
        } else {
            self.online.clear(cpu);
        }
        self.online_changes.fetch_add(1, Ordering::AcqRel);
        if is_online {
            return;
        }
        while let Some(vcpu) = self
            .lock(cpu)
            .and_then(|mut locked| locked.queue.take_any())
        {
            poke(self.enqueue(&vcpu, 0));
        }
        self.idle.clear(cpu);
    }
}
