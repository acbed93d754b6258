//! Round robin on each processor, and idle processors help the others.
//!
//! Each processor has a queue of vCPUs that wait for it. Slices are equal; a vCPU whose slice ends goes to
//! the tail. A processor with nothing to run takes the first vCPU that it may run from another's queue;
//! one whose slice ends does so if that queue is longer than its own by two.
//!
//! A vCPU's *home* is the processor in whose queue it waits, or whose it will be next. It is in a queue
//! exactly if it is marked so, and that mark is protected by the lock of its home's queue. The home
//! changes only while the mark is off and that lock is held, so locking it is: read the home, lock, see
//! that it is still the home.
#![forbid(unsafe_code)]

extern crate alloc;

use super::cpu_set::{CpuId, CpuSet};
use super::{Decision, Pick, Poke, SchedError, SchedVcpu, Scheduler};
use crate::growth::make_room;
use crate::lock::InterruptsOff;
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use crate::sync::{Lock, LockGuard, rank};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// How long a vCPU runs while others wait, in nanoseconds.
pub const SLICE_NS: u64 = 10_000_000;

/// What this scheduler keeps with a vCPU.
#[derive(Debug)]
pub struct Unit {
    home: AtomicU32,
    is_queued: AtomicBool,
    affinity: [AtomicU64; 4],
}

impl Unit {
    /// A vCPU that has not been added yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            home: AtomicU32::new(0),
            is_queued: AtomicBool::new(false),
            affinity: core::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    fn home(&self) -> CpuId {
        CpuId(self.home.load(Ordering::Acquire))
    }

    fn affinity(&self) -> CpuSet {
        CpuSet::from_words(
            &self
                .affinity
                .each_ref()
                .map(|word| word.load(Ordering::Acquire)),
        )
    }

    fn set_affinity(&self, affinity: &CpuSet) {
        for (to, from) in self.affinity.iter().zip(affinity.words()) {
            to.store(*from, Ordering::Release);
        }
    }

    fn may_run_on(&self, cpu: CpuId) -> bool {
        self.affinity().contains(cpu)
    }
}

impl Default for Unit {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Debug)]
struct Queue<V> {
    /// Room for every vCPU there is: waking one never allocates.
    waiting: VecDeque<V>,
    /// When the slice of the vCPU that runs ends.
    slice_end_ns: u64,
}

#[derive(Debug)]
struct Cpu<V> {
    queue: Lock<Queue<V>, { rank::RUN_QUEUE }>,
    /// Length of the queue, for others to look at without its lock.
    nr_waiting: AtomicU32,
    is_online: AtomicBool,
    /// It found nothing to run, and sleeps until it is poked.
    is_idle: AtomicBool,
}

/// The scheduler.
#[derive(Debug)]
pub struct RoundRobin<V> {
    cpus: Box<[Cpu<V>]>,
    nr_vcpus: AtomicU32,
}

/// A queue, locked, with interrupts off.
struct Locked<'a, V> {
    cpu: &'a Cpu<V>,
    // Declared before the other: the lock is released before interrupts come back on.
    queue: LockGuard<'a, Queue<V>, { rank::RUN_QUEUE }>,
    _interrupts: InterruptsOff,
}

impl<V: SchedVcpu<Unit>> Locked<'_, V> {
    fn push(&mut self, vcpu: &V) {
        vcpu.unit().is_queued.store(true, Ordering::Relaxed);
        debug_assert!(self.queue.waiting.len() < self.queue.waiting.capacity());
        self.queue.waiting.push_back(vcpu.clone());
        self.note_length();
    }

    /// Takes the first vCPU out for which `wanted` holds.
    fn take(&mut self, mut wanted: impl FnMut(&V) -> bool) -> Option<V> {
        let index = self.queue.waiting.iter().position(&mut wanted)?;
        let vcpu = self.queue.waiting.remove(index)?;
        vcpu.unit().is_queued.store(false, Ordering::Relaxed);
        self.note_length();
        Some(vcpu)
    }

    /// Takes the first vCPU out that may run on `cpu`, claimed for it.
    fn claim_for(&mut self, cpu: CpuId) -> Option<V> {
        self.take(|vcpu| vcpu.unit().may_run_on(cpu) && vcpu.run_state().start_running())
    }

    fn note_length(&self) {
        let length = u32::try_from(self.queue.waiting.len()).unwrap_or(u32::MAX);
        // Idle processors look at it without the lock; see `poke_for`.
        self.cpu.nr_waiting.store(length, Ordering::SeqCst);
    }
}

impl<V: SchedVcpu<Unit>> RoundRobin<V> {
    /// For processors below `nr_cpus`, all off line.
    pub fn new(nr_cpus: u32) -> Result<Self, SchedError> {
        let mut cpus = Vec::new();
        cpus.try_reserve_exact(nr_cpus as usize)
            .map_err(|_| SchedError::OutOfMemory)?;
        cpus.extend((0..nr_cpus).map(|_| Cpu {
            queue: Lock::new(Queue {
                waiting: VecDeque::new(),
                slice_end_ns: 0,
            }),
            nr_waiting: AtomicU32::new(0),
            is_online: AtomicBool::new(false),
            is_idle: AtomicBool::new(false),
        }));
        Ok(Self {
            cpus: cpus.into_boxed_slice(),
            nr_vcpus: AtomicU32::new(0),
        })
    }

    fn cpu(&self, cpu: CpuId) -> Option<&Cpu<V>> {
        self.cpus.get(cpu.0 as usize)
    }

    fn lock(&self, cpu: CpuId) -> Option<Locked<'_, V>> {
        let interrupts = InterruptsOff::new();
        let cpu = self.cpu(cpu)?;
        Some(Locked {
            cpu,
            queue: cpu.queue.lock(),
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
            .filter(|(_, cpu)| cpu.is_online.load(Ordering::Acquire))
    }

    /// The processor with the fewest waiting among those on line in `affinity`.
    fn least_loaded(&self, affinity: &CpuSet) -> Option<CpuId> {
        let usable = self.online().filter(|(id, _)| affinity.contains(*id));
        let load = |cpu: &Cpu<V>| {
            (
                !cpu.is_idle.load(Ordering::Acquire),
                cpu.nr_waiting.load(Ordering::Acquire),
            )
        };
        usable.min_by_key(|(_, cpu)| load(cpu)).map(|(id, _)| id)
    }

    /// Whether a vCPU may wait for, or run on, a processor.
    fn is_fit(&self, vcpu: &V, cpu: CpuId) -> bool {
        vcpu.unit().may_run_on(cpu)
            && self
                .cpu(cpu)
                .is_some_and(|cpu| cpu.is_online.load(Ordering::Acquire))
    }

    /// Puts a vCPU into a queue if it is runnable, not running and in none. Says which processor to poke.
    fn enqueue(&self, vcpu: &V) -> Poke {
        loop {
            let Some((home, mut locked)) = self.lock_home(vcpu) else {
                return Poke(None);
            };
            let (run, unit) = (vcpu.run_state(), vcpu.unit());
            // Running includes being put away: then it is queued when that is done.
            if !run.is_runnable() || run.is_running() || unit.is_queued.load(Ordering::Relaxed) {
                return Poke(None);
            }
            if self.is_fit(vcpu, home) {
                locked.push(vcpu);
                drop(locked);
                return self.poke_for(vcpu, home);
            }
            let Some(home) = self.least_loaded(&unit.affinity()) else {
                if self.online().next().is_none() {
                    return Poke(None);
                }
                // The last processor that it might use went off line: better elsewhere than never.
                unit.set_affinity(&CpuSet::ALL);
                continue;
            };
            unit.home.store(home.0, Ordering::Release);
        }
    }

    /// Who should look at a vCPU that was put into the queue of `home`: an idle processor that may take
    /// it, else the one whose queue it is.
    fn poke_for(&self, vcpu: &V, home: CpuId) -> Poke {
        // The mark "idle" is set before its owner looks at the queues, and read after this one changed. It
        // is taken off by who pokes, so that the next one to wait is offered to somebody else.
        crate::sync::model_fence();
        let claims_idle = |cpu: &Cpu<V>| {
            cpu.is_idle.load(Ordering::SeqCst) && cpu.is_idle.swap(false, Ordering::SeqCst)
        };
        if self.cpu(home).is_some_and(claims_idle) {
            return Poke(Some(home));
        }
        let affinity = vcpu.unit().affinity();
        let helper = self
            .online()
            .find(|(id, cpu)| affinity.contains(*id) && claims_idle(cpu));
        Poke(Some(helper.map_or(home, |(id, _)| id)))
    }

    /// Takes the first vCPU of the processor's own queue, for it to run.
    fn claim_own(&self, cpu: CpuId) -> Option<V> {
        let mut locked = self.lock(cpu)?;
        locked.claim_for(cpu)
    }

    /// Takes a vCPU that waits for a processor where at least `least` wait, for `cpu` to run.
    fn steal(&self, cpu: CpuId, least: u32) -> Option<V> {
        let others = || self.online().filter(|(id, _)| *id != cpu);
        // Begin after oneself, so that not all help the same one.
        let order = others()
            .filter(|(id, _)| *id > cpu)
            .chain(others().filter(|(id, _)| *id < cpu));
        for (victim, state) in order {
            if state.nr_waiting.load(Ordering::SeqCst) < least {
                continue;
            }
            let stolen = self.lock(victim).and_then(|mut locked| {
                let vcpu = locked.claim_for(cpu)?;
                vcpu.unit().home.store(cpu.0, Ordering::Release);
                Some(vcpu)
            });
            if stolen.is_some() {
                return stolen;
            }
        }
        None
    }

    /// Goes on with the present vCPU: until the slice ends, or for another slice if nobody waits.
    fn stay(&self, cpu: CpuId, now_ns: u64) -> Option<Decision<V>> {
        let mut locked = self.lock(cpu)?;
        if now_ns >= locked.queue.slice_end_ns {
            if !locked.queue.waiting.is_empty() {
                return None;
            }
            locked.queue.slice_end_ns = now_ns.saturating_add(SLICE_NS);
        }
        // Even alone it looks again in the end: a helper that was poked for somebody who waits here may
        // have found other work.
        Some(Decision {
            pick: Pick::Stay,
            until_ns: Some(locked.queue.slice_end_ns),
        })
    }

    /// Switches to a vCPU that was claimed for `cpu`.
    fn switch(&self, cpu: CpuId, now_ns: u64, vcpu: V) -> Decision<V> {
        let end = now_ns.saturating_add(SLICE_NS);
        if let Some(mut locked) = self.lock(cpu) {
            locked.queue.slice_end_ns = end;
        }
        Decision {
            pick: Pick::Switch(vcpu),
            until_ns: Some(end),
        }
    }

    /// Claims the next vCPU for a processor whose slice is over: from a queue that is longer by two than
    /// its own, so that queues level out, or from its own.
    fn next(&self, cpu: CpuId, state: &Cpu<V>) -> Option<V> {
        let own = state.nr_waiting.load(Ordering::SeqCst);
        self.steal(cpu, own.saturating_add(2))
            .or_else(|| self.claim_own(cpu))
    }

    /// Marks the processor idle, unless there is something to run after all.
    fn go_idle(&self, cpu: CpuId, state: &Cpu<V>) -> Option<V> {
        // Marked before the queues are looked at, so that whoever adds to one after this look sees it.
        state.is_idle.store(true, Ordering::SeqCst);
        crate::sync::model_fence();
        let found = self.claim_own(cpu).or_else(|| self.steal(cpu, 1))?;
        state.is_idle.store(false, Ordering::Relaxed);
        Some(found)
    }
}

impl<V: SchedVcpu<Unit>> Scheduler<V> for RoundRobin<V> {
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
                    action(&mut locked.queue.waiting);
                }
            });
            if made.is_err() {
                self.nr_vcpus.fetch_sub(1, Ordering::AcqRel);
                return Err(SchedError::OutOfMemory);
            }
        }
        let unit = vcpu.unit();
        unit.home.store(home.0, Ordering::Release);
        unit.set_affinity(&affinity);
        Ok(())
    }

    fn remove(&self, vcpu: &V) {
        debug_assert!(!vcpu.run_state().is_running());
        let _ = self.sleep(vcpu);
        self.nr_vcpus.fetch_sub(1, Ordering::AcqRel);
    }

    fn wake(&self, vcpu: &V, _now_ns: u64) -> Poke {
        self.enqueue(vcpu)
    }

    fn sleep(&self, vcpu: &V) -> Poke {
        let Some((home, mut locked)) = self.lock_home(vcpu) else {
            return Poke(None);
        };
        let (run, unit) = (vcpu.run_state(), vcpu.unit());
        if run.is_runnable() {
            return Poke(None);
        }
        if unit.is_queued.load(Ordering::Relaxed) {
            let _ = locked.take(|other| core::ptr::eq(other.unit(), unit));
        }
        // A processor that runs it is its home.
        Poke(run.is_running().then_some(home))
    }

    fn yield_now(&self, cpu: CpuId) {
        if let Some(mut locked) = self.lock(cpu) {
            locked.queue.slice_end_ns = 0;
        }
    }

    fn pick_next(&self, cpu: CpuId, now_ns: u64, current: Option<&V>) -> Decision<V> {
        let Some(state) = self.cpu(cpu) else {
            return Decision {
                pick: Pick::Idle,
                until_ns: None,
            };
        };
        state.is_idle.store(false, Ordering::Relaxed);
        let may_stay =
            current.is_some_and(|vcpu| vcpu.run_state().is_runnable() && self.is_fit(vcpu, cpu));
        if may_stay && let Some(decision) = self.stay(cpu, now_ns) {
            return decision;
        }
        if !state.is_online.load(Ordering::Acquire) {
            return Decision {
                pick: Pick::Idle,
                until_ns: None,
            };
        }
        let next = self.next(cpu, state).or_else(|| {
            // Whoever waited may have been taken by others meanwhile.
            if may_stay {
                None
            } else {
                self.go_idle(cpu, state)
            }
        });
        match next {
            Some(vcpu) => self.switch(cpu, now_ns, vcpu),
            None if may_stay => Decision {
                pick: Pick::Stay,
                until_ns: Some(now_ns.saturating_add(SLICE_NS)),
            },
            None => Decision {
                pick: Pick::Idle,
                until_ns: None,
            },
        }
    }

    fn descheduled(&self, _cpu: CpuId, vcpu: &V) -> Poke {
        if vcpu.run_state().stop_running() {
            self.enqueue(vcpu)
        } else {
            Poke(None)
        }
    }

    fn set_affinity(&self, vcpu: &V, affinity: CpuSet) -> Result<Poke, SchedError> {
        if self.least_loaded(&affinity).is_none() {
            return Err(SchedError::NoCpu);
        }
        let unit = vcpu.unit();
        unit.set_affinity(&affinity);
        let Some((home, mut locked)) = self.lock_home(vcpu) else {
            return Ok(Poke(None));
        };
        if unit.is_queued.load(Ordering::Relaxed) {
            let _ = locked.take(|other| core::ptr::eq(other.unit(), unit));
            drop(locked);
            return Ok(self.enqueue(vcpu));
        }
        Ok(Poke(vcpu.run_state().is_running().then_some(home)))
    }

    fn affinity(&self, vcpu: &V) -> CpuSet {
        vcpu.unit().affinity()
    }

    fn set_online(&self, cpu: CpuId, is_online: bool, poke: &mut dyn FnMut(Poke)) {
        let Some(state) = self.cpu(cpu) else {
            return;
        };
        state.is_online.store(is_online, Ordering::SeqCst);
        if !is_online {
            while let Some(vcpu) = self.lock(cpu).and_then(|mut locked| locked.take(|_| true)) {
                poke(self.enqueue(&vcpu));
            }
            state.is_idle.store(false, Ordering::SeqCst);
        }
    }
}
