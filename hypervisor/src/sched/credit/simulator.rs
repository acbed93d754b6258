//! A machine on which the scheduler runs without hardware: processors, their timers, interrupts between them, and vCPUs that
//! behave as they are told. The same seed gives the same run.
//!
//! Interrupts take [`INTERRUPT_NS`]; a processor that is interrupted, or whose timer fires, picks, and puts what it had away at once.

use super::share::ACCOUNTING_NS;
use super::{Credit, Parameters, Share, steps};
use crate::sched::cpu_set::{CpuId, CpuSet};
use crate::sched::run_state::Change;
use crate::sched::test_vcpu::TestVcpu;
use crate::sched::{Pick, Poke, SchedVcpu, Scheduler};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub(super) const MS: u64 = 1_000_000;
/// How long it takes until an interrupted processor picks.
const INTERRUPT_NS: u64 = 2_000;

/// What a vCPU does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Behaviour {
    /// It wants to run, always.
    Hog,
    /// It wants to run, and gives way every so often.
    Yields { every_ns: u64 },
    /// It runs for so long, then waits for so long, give or take a half.
    Works { run_ns: u64, wait_ns: u64 },
    /// It wants to run for so long whenever a period begins, together with all others of that period.
    Bursts { run_ns: u64, period_ns: u64 },
    /// It runs for so long, then wakes another one and waits until it is woken itself.
    Passes { run_ns: u64, to: usize },
    /// It wants to run, but not at the moment when its domain's share is brought up to date.
    Dodges,
    /// It never wants to run.
    Sleeps,
}

/// One domain to be simulated.
#[derive(Clone, Debug)]
pub(super) struct Domain {
    pub(super) is_first: bool,
    pub(super) weight: u16,
    pub(super) cap: u16,
    pub(super) vcpus: Vec<(Behaviour, CpuSet)>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Event {
    Interrupt(usize),
    Timer(usize, u64),
    Wakes(usize),
    /// What it does on a processor comes to an end, unless it has left that meanwhile.
    Finishes(usize, u64),
}

/// What is known of a vCPU.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) ran_ns: u64,
    /// Since when it wants to run and does not.
    waits_since_ns: Option<u64>,
    /// When it was seen parked last.
    parked_ns: u64,
    pub(super) longest_wait_ns: u64,
    /// How long it took to run after each time it was woken.
    pub(super) latencies_ns: Vec<u64>,
    woken_ns: Option<u64>,
    left_ns: u64,
    turn: u64,
    /// The processor that it ran on last, and how often that was another one than before.
    last: Option<CpuId>,
    pub(super) moves: u64,
}

/// What calls of one kind have done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Counted {
    pub(super) calls: u64,
    /// All their steps, and the most that one took.
    pub(super) steps: usize,
    pub(super) most: usize,
}

impl Counted {
    /// One more, which has done what this thread has done since `steps::take` was called last.
    fn note(&mut self) {
        let counted = steps::take().all;
        self.calls += 1;
        self.steps += counted;
        self.most = self.most.max(counted);
    }

    pub(super) fn mean(&self) -> f64 {
        self.steps as f64 / self.calls as f64
    }
}

impl Account {
    /// How often it has come to run.
    pub(super) fn turns(&self) -> u64 {
        self.turn / 2
    }
}

/// Random numbers: SplitMix64.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub(super) fn range(&mut self, from: u64, to: u64) -> u64 {
        from + self.next() % (to - from + 1)
    }
}

pub(super) struct Machine {
    pub(super) scheduler: Credit<TestVcpu>,
    pub(super) domains: Vec<Domain>,
    pub(super) shares: Vec<Arc<Share>>,
    vcpus: Vec<(TestVcpu, Behaviour)>,
    /// The domain of each vCPU.
    pub(super) owner: Vec<usize>,
    pub(super) accounts: Vec<Account>,
    /// Those that may be parked.
    capped: Vec<usize>,
    running: Vec<Option<(TestVcpu, u64)>>,
    idle_since_ns: Vec<Option<u64>>,
    pub(super) busy_ns: u64,
    timers: Vec<u64>,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    sequence: u64,
    pub(super) now_ns: u64,
    random: Random,
    /// The longest that somebody has waited while a processor that may run it was idle.
    pub(super) worst_idle_ns: u64,
    /// Decisions.
    pub(super) picks: Counted,
    /// Those that were woken.
    pub(super) wakes: Counted,
    /// Those that were put away and wanted to run on.
    pub(super) ends: Counted,
    /// Interrupts that are lost, of a thousand: a mistake that checks have to find.
    pub(super) lost_interrupts: u64,
}

impl Machine {
    pub(super) fn new(nr_cpus: u32, domains: &[Domain], parameters: Parameters, seed: u64) -> Self {
        let scheduler = Credit::new(nr_cpus, parameters).expect("memory");
        for cpu in 0..nr_cpus {
            scheduler.set_online(CpuId(cpu), true, &mut |_| unreachable!());
        }
        let mut machine = Self {
            scheduler,
            domains: domains.to_vec(),
            shares: Vec::new(),
            vcpus: Vec::new(),
            owner: Vec::new(),
            accounts: Vec::new(),
            capped: Vec::new(),
            running: vec![None; nr_cpus as usize],
            idle_since_ns: vec![Some(0); nr_cpus as usize],
            busy_ns: 0,
            timers: vec![u64::MAX; nr_cpus as usize],
            events: BinaryHeap::new(),
            sequence: 0,
            now_ns: 0,
            random: Random(seed),
            worst_idle_ns: 0,
            picks: Counted::default(),
            wakes: Counted::default(),
            ends: Counted::default(),
            lost_interrupts: 0,
        };
        for (index, domain) in domains.iter().enumerate() {
            let share = Arc::new(if domain.is_first {
                Share::of_first_domain()
            } else {
                Share::new()
            });
            share.set_weight(domain.weight);
            share.set_cap(domain.cap);
            for (behaviour, affinity) in &domain.vcpus {
                let vcpu = TestVcpu::of(machine.vcpus.len(), share.clone());
                machine.scheduler.add(&vcpu, *affinity).expect("on line");
                if domain.cap != 0 {
                    machine.capped.push(machine.vcpus.len());
                }
                machine.vcpus.push((vcpu, *behaviour));
                machine.owner.push(index);
                machine.accounts.push(Account {
                    ran_ns: 0,
                    waits_since_ns: None,
                    parked_ns: 0,
                    longest_wait_ns: 0,
                    latencies_ns: Vec::new(),
                    woken_ns: None,
                    left_ns: 0,
                    turn: 0,
                    last: None,
                    moves: 0,
                });
            }
            machine.shares.push(share);
        }
        for cpu in 0..nr_cpus as usize {
            machine.at(0, Event::Interrupt(cpu));
        }
        for vcpu in 0..machine.vcpus.len() {
            if machine.vcpus[vcpu].1 != Behaviour::Sleeps {
                // All within one slice, in any order.
                let when = machine.random.range(1, 30 * MS);
                machine.at(when, Event::Wakes(vcpu));
            }
            let (_, change) = machine.vcpus[vcpu].0.0.run.up();
            assert_eq!(change, Change::BecameRunnable);
            // Until it is woken for the first time.
            let _ = machine.vcpus[vcpu].0.0.run.block();
        }
        machine
    }

    fn at(&mut self, when_ns: u64, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((when_ns, self.sequence, event)));
    }

    /// One that has slept does something from now on.
    pub(super) fn begin(&mut self, vcpu: usize, behaviour: Behaviour) {
        self.vcpus[vcpu].1 = behaviour;
        self.at(self.now_ns, Event::Wakes(vcpu));
    }

    /// Says where one may run from now on.
    pub(super) fn set_affinity(&mut self, vcpu: usize, affinity: CpuSet) {
        let it = self.vcpus[vcpu].0.clone();
        let owner = self.owner[vcpu];
        assert_eq!(self.domains[owner].vcpus.len(), 1);
        self.domains[owner].vcpus[0].1 = affinity;
        let poke = self.scheduler.set_affinity(&it, affinity, self.now_ns);
        self.poke(poke.expect("on line"));
    }

    /// Says where one should run from now on.
    pub(super) fn set_soft_affinity(&mut self, vcpu: usize, affinity: CpuSet) {
        let it = self.vcpus[vcpu].0.clone();
        self.scheduler.set_soft_affinity(&it, &affinity);
    }

    /// The processor that one runs on.
    pub(super) fn place(&self, vcpu: usize) -> Option<CpuId> {
        (0..)
            .map(CpuId)
            .zip(&self.running)
            .find(|(_, running)| running.as_ref().is_some_and(|(it, _)| it.0.id == vcpu))
            .map(|(cpu, _)| cpu)
    }

    fn poke(&mut self, poke: Poke) {
        if let Some(cpu) = poke.0
            && self.random.range(0, 999) >= self.lost_interrupts
        {
            self.at(self.now_ns + INTERRUPT_NS, Event::Interrupt(cpu.0 as usize));
        }
    }

    /// Lets time pass.
    pub(super) fn run_until(&mut self, end_ns: u64) {
        while let Some(&Reverse((when_ns, _, event))) = self.events.peek()
            && when_ns <= end_ns
        {
            self.events.pop();
            self.now_ns = when_ns;
            match event {
                Event::Interrupt(cpu) => self.pick(cpu),
                Event::Timer(cpu, armed) => {
                    if self.timers[cpu] == armed {
                        self.pick(cpu);
                    }
                }
                Event::Wakes(vcpu) => self.wake(vcpu),
                Event::Finishes(vcpu, turn) => {
                    if self.accounts[vcpu].turn == turn {
                        self.finish(vcpu);
                    }
                }
            }
        }
        self.now_ns = end_ns;
        for cpu in 0..self.running.len() {
            self.note_run(cpu);
        }
    }

    /// For how long one that [dodges](Behaviour::Dodges) may run: until shortly before the accounts are looked at.
    fn until_accounting_ns(&self, vcpu: usize) -> u64 {
        let share = &self.shares[self.owner[vcpu]];
        let last_ns = share.accounted_ns.load(Ordering::Relaxed);
        (last_ns + ACCOUNTING_NS).saturating_sub(self.now_ns + MS / 2)
    }

    fn wake(&mut self, vcpu: usize) {
        if self.vcpus[vcpu].1 == Behaviour::Dodges && self.until_accounting_ns(vcpu) == 0 {
            self.at(self.now_ns + MS / 10, Event::Wakes(vcpu));
            return;
        }
        let account = &mut self.accounts[vcpu];
        account.waits_since_ns = Some(self.now_ns);
        account.woken_ns = Some(self.now_ns);
        let jitter = self.random.range(50, 150);
        self.accounts[vcpu].left_ns = match self.vcpus[vcpu].1 {
            Behaviour::Works { run_ns, .. } => run_ns * jitter / 100,
            Behaviour::Yields { every_ns } => every_ns,
            Behaviour::Bursts { run_ns, .. } | Behaviour::Passes { run_ns, .. } => run_ns,
            _ => u64::MAX,
        };
        let it = self.vcpus[vcpu].0.clone();
        if it.0.run.unblock() == Change::BecameRunnable {
            let _ = steps::take();
            let poke = self.scheduler.wake(&it, self.now_ns);
            self.wakes.note();
            // Half of them are woken by what runs on the processor that is poked: that looks when there is something to decide.
            match poke.0.filter(|_| vcpu.is_multiple_of(2)) {
                Some(cpu) if self.scheduler.settled_until(cpu) > self.now_ns => {
                    let then_ns = self.scheduler.settled_until(cpu);
                    let timer = &mut self.timers[cpu.0 as usize];
                    if then_ns < *timer {
                        *timer = then_ns;
                        self.at(then_ns, Event::Timer(cpu.0 as usize, then_ns));
                    }
                }
                _ => self.poke(poke),
            }
        }
    }

    /// It has done what it wanted to do, on a processor.
    fn finish(&mut self, vcpu: usize) {
        let it = self.vcpus[vcpu].0.clone();
        let cpu = self
            .running
            .iter()
            .position(|running| running.as_ref().is_some_and(|(other, _)| *other == it))
            .expect("it runs");
        self.note_run(cpu);
        match self.vcpus[vcpu].1 {
            Behaviour::Works { wait_ns, .. } => {
                let _: Change = it.0.run.block();
                let jitter = self.random.range(50, 150);
                self.at(self.now_ns + wait_ns * jitter / 100, Event::Wakes(vcpu));
            }
            Behaviour::Yields { every_ns } => {
                self.accounts[vcpu].left_ns = every_ns;
                self.plan_end(vcpu);
                self.scheduler.yield_now(CpuId(cpu as u32));
            }
            Behaviour::Dodges => {
                let _: Change = it.0.run.block();
                self.at(self.now_ns + MS / 2, Event::Wakes(vcpu));
            }
            Behaviour::Bursts { period_ns, .. } => {
                let _: Change = it.0.run.block();
                let next_ns = (self.now_ns / period_ns + 1) * period_ns;
                self.at(next_ns, Event::Wakes(vcpu));
            }
            Behaviour::Passes { to, .. } => {
                // As one of its timers makes its processor do, or by itself.
                if vcpu.is_multiple_of(2) {
                    self.pick(cpu);
                }
                if !self.is_on(vcpu, cpu) {
                    return;
                }
                self.wake(to);
                let _: Change = it.0.run.block();
            }
            Behaviour::Hog | Behaviour::Sleeps => unreachable!(),
        }
        self.pick(cpu);
    }

    fn is_on(&self, vcpu: usize, cpu: usize) -> bool {
        let running = self.running[cpu].as_ref();
        running.is_some_and(|(running, _)| *running == self.vcpus[vcpu].0)
    }

    /// Enters how long the vCPU on a processor has run.
    fn note_run(&mut self, cpu: usize) {
        if let Some((vcpu, since_ns)) = &mut self.running[cpu] {
            let ran = self.now_ns - *since_ns;
            *since_ns = self.now_ns;
            let account = &mut self.accounts[vcpu.0.id];
            account.ran_ns += ran;
            account.left_ns = account.left_ns.saturating_sub(ran);
            self.busy_ns += ran;
        }
    }

    fn plan_end(&mut self, vcpu: usize) {
        if self.vcpus[vcpu].1 == Behaviour::Dodges {
            self.accounts[vcpu].left_ns = self.until_accounting_ns(vcpu);
        }
        self.accounts[vcpu].turn += 1;
        let account = &self.accounts[vcpu];
        if account.left_ns < u64::MAX / 2 {
            let event = Event::Finishes(vcpu, account.turn);
            self.at(self.now_ns + account.left_ns, event);
        }
    }

    fn pick(&mut self, cpu: usize) {
        self.note_run(cpu);
        self.note_parked();
        let id = CpuId(cpu as u32);
        let current = self.running[cpu].clone().map(|(vcpu, _)| vcpu);
        let _ = steps::take();
        let decision = self.scheduler.pick_next(id, self.now_ns, current.as_ref());
        self.picks.note();
        self.poke(decision.poke);
        self.timers[cpu] = decision.until_ns.unwrap_or(u64::MAX);
        if let Some(until_ns) = decision.until_ns {
            assert!(until_ns >= self.now_ns);
            self.at(until_ns.max(self.now_ns + 1), Event::Timer(cpu, until_ns));
        }
        let next = match decision.pick {
            Pick::Stay => return,
            Pick::Switch(vcpu) => Some(vcpu),
            Pick::Idle => None,
        };
        if let Some(vcpu) = &next {
            let number = vcpu.0.id;
            assert!(self.domains[self.owner[number]].vcpus_may(number, self, id));
            self.note_idle(cpu);
            let now_ns = self.now_ns;
            let account = &mut self.accounts[number];
            account.moves += u64::from(account.last.is_some_and(|last| last != id));
            account.last = Some(id);
            if let Some(since_ns) = account.waits_since_ns.take() {
                account.longest_wait_ns = account.longest_wait_ns.max(now_ns - since_ns);
            }
            if let Some(woken_ns) = account.woken_ns.take() {
                account.latencies_ns.push(now_ns - woken_ns);
            }
            self.plan_end(number);
            self.idle_since_ns[cpu] = None;
        } else if self.idle_since_ns[cpu].is_none() {
            self.idle_since_ns[cpu] = Some(self.now_ns);
        }
        let since_ns = self.now_ns;
        let old = core::mem::replace(&mut self.running[cpu], next.map(|vcpu| (vcpu, since_ns)));
        if let Some((old, _)) = old {
            let account = &mut self.accounts[old.0.id];
            account.turn += 1;
            if old.0.run.is_runnable() {
                account.waits_since_ns = Some(since_ns);
            }
            let _ = steps::take();
            let poke = self.scheduler.descheduled(id, &old, since_ns);
            self.ends.note();
            self.poke(poke);
        }
    }

    /// Who is parked now waits on purpose.
    fn note_parked(&mut self) {
        for &vcpu in &self.capped {
            if self.vcpus[vcpu].0.unit().is_parked() {
                self.accounts[vcpu].parked_ns = self.now_ns;
            }
        }
    }

    /// An idle processor takes somebody up: for how long had that one, or another that may run there, waited beside it?
    fn note_idle(&mut self, cpu: usize) {
        let Some(idle_since_ns) = self.idle_since_ns[cpu] else {
            return;
        };
        for (vcpu, account) in self.vcpus.iter().zip(&self.accounts) {
            let may_run = || self.scheduler.affinity(&vcpu.0).contains(CpuId(cpu as u32));
            if let Some(since_ns) = account.waits_since_ns
                && may_run()
            {
                let since_ns = since_ns.max(account.parked_ns).max(idle_since_ns);
                self.worst_idle_ns = self.worst_idle_ns.max(self.now_ns - since_ns);
            }
        }
    }

    /// Whoever waits now, too.
    pub(super) fn note_who_waits(&mut self) {
        self.note_parked();
        (0..self.running.len()).for_each(|cpu| self.note_idle(cpu));
        for account in &mut self.accounts {
            if let Some(since_ns) = account.waits_since_ns {
                account.longest_wait_ns = account.longest_wait_ns.max(self.now_ns - since_ns);
            }
        }
    }

    /// How long each domain has run.
    pub(super) fn domains_ran_ns(&self) -> Vec<u64> {
        let mut ran_ns = vec![0; self.domains.len()];
        for (owner, account) in self.owner.iter().zip(&self.accounts) {
            ran_ns[*owner] += account.ran_ns;
        }
        ran_ns
    }
}

impl Domain {
    fn vcpus_may(&self, number: usize, machine: &Machine, cpu: CpuId) -> bool {
        let first = machine
            .owner
            .iter()
            .position(|owner| *owner == machine.owner[number])
            .expect("it has an owner");
        self.vcpus[number - first].1.contains(cpu)
    }
}
