//! The scheduler on a simulated machine, where time passes in steps and pokes arrive in any order.

use super::cpu_set::{CpuId, CpuSet};
use super::credit::{Credit, Parameters};
use super::run_state::{Change, RunState};
use super::test_vcpu::TestVcpu;
use super::{Pick, Poke, SchedError, Scheduler};
use proptest::prelude::*;

const SLICE_NS: u64 = Parameters::DEFAULT.slice_ns;

struct Machine {
    scheduler: Credit<TestVcpu>,
    vcpus: Vec<TestVcpu>,
    /// What each processor runs.
    running: Vec<Option<TestVcpu>>,
    online: Vec<bool>,
    /// Pokes on their way, to handle in an order that the test chooses.
    poked: Vec<CpuId>,
    until_ns: Vec<Option<u64>>,
    now_ns: u64,
    /// How long each vCPU has run.
    ran_ns: Vec<u64>,
}

impl Machine {
    fn new(cpus: u32, vcpus: usize) -> Self {
        let scheduler = Credit::new(cpus, Parameters::DEFAULT).expect("memory");
        for cpu in 0..cpus {
            scheduler.set_online(CpuId(cpu), true, &mut |_| unreachable!());
        }
        let vcpus: Vec<_> = (0..vcpus).map(TestVcpu::new).collect();
        for vcpu in &vcpus {
            scheduler.add(vcpu, CpuSet::ALL).expect("memory");
        }
        let ran_ns = vec![0; vcpus.len()];
        let mut machine = Self {
            scheduler,
            vcpus,
            running: vec![None; cpus as usize],
            online: vec![true; cpus as usize],
            poked: Vec::new(),
            until_ns: vec![None; cpus as usize],
            now_ns: 0,
            ran_ns,
        };
        for cpu in 0..cpus {
            machine.pick(CpuId(cpu));
        }
        machine
    }

    fn run(&self, vcpu: usize) -> &RunState {
        &self.vcpus[vcpu].0.run
    }

    fn heed(&mut self, poke: Poke) {
        self.poked.extend(poke.0);
    }

    fn tell(&mut self, vcpu: usize, change: Change) {
        let vcpu = self.vcpus[vcpu].clone();
        let poke = match change {
            Change::BecameRunnable => self.scheduler.wake(&vcpu, self.now_ns),
            Change::BecameIdle => self.scheduler.sleep(&vcpu, self.now_ns),
            Change::None => Poke(None),
        };
        self.heed(poke);
    }

    fn up(&mut self, vcpu: usize) {
        let (_, change) = self.run(vcpu).up();
        self.tell(vcpu, change);
    }

    fn pick(&mut self, cpu: CpuId) {
        let at = cpu.0 as usize;
        let current = self.running[at].clone();
        let decision = self.scheduler.pick_next(cpu, self.now_ns, current.as_ref());
        self.until_ns[at] = decision.until_ns;
        self.heed(decision.poke);
        let next = match decision.pick {
            Pick::Stay => return,
            Pick::Switch(vcpu) => Some(vcpu),
            Pick::Idle => None,
        };
        if let Some(old) = core::mem::replace(&mut self.running[at], next) {
            let poke = self.scheduler.descheduled(cpu, &old, self.now_ns);
            self.heed(poke);
        }
    }

    fn settle(&mut self) {
        for _ in 0..1000 {
            match self.poked.pop() {
                Some(cpu) => self.pick(cpu),
                None => return,
            }
        }
        panic!("pokes without end");
    }

    /// Lets time pass until the next slice ends, or `most_ns`.
    fn advance(&mut self, most_ns: u64) {
        let next = self
            .until_ns
            .iter()
            .flatten()
            .copied()
            .min()
            .unwrap_or(u64::MAX);
        let by = next.saturating_sub(self.now_ns).min(most_ns);
        self.now_ns += by;
        for running in self.running.iter().flatten() {
            self.ran_ns[running.0.id] += by;
        }
        for cpu in 0..self.running.len() {
            if self.until_ns[cpu].is_some_and(|until| until <= self.now_ns) {
                self.pick(CpuId(cpu as u32));
            }
        }
        self.settle();
    }

    fn advance_by(&mut self, by_ns: u64) {
        let end = self.now_ns + by_ns;
        while self.now_ns < end {
            self.advance(end - self.now_ns);
        }
    }

    /// What must hold when all pokes have been heeded.
    fn check(&self) {
        for (cpu, running) in self.running.iter().enumerate() {
            let Some(vcpu) = running else { continue };
            assert!(vcpu.0.run.is_running());
            assert!(
                vcpu.0.run.is_runnable(),
                "{vcpu:?} runs on CPU{cpu} and may not"
            );
            assert!(
                self.online[cpu],
                "{vcpu:?} runs on CPU{cpu}, which is off line"
            );
            let affinity = self.scheduler.affinity(vcpu);
            assert!(
                affinity.contains(CpuId(cpu as u32)),
                "{vcpu:?} runs on CPU{cpu}, not of {affinity:?}"
            );
            let elsewhere = self
                .running
                .iter()
                .flatten()
                .filter(|other| *other == vcpu)
                .count();
            assert_eq!(elsewhere, 1, "{vcpu:?} runs twice");
        }
        for vcpu in &self.vcpus {
            let is_on_cpu = self.running.iter().flatten().any(|other| other == vcpu);
            assert_eq!(vcpu.0.run.is_running(), is_on_cpu, "{vcpu:?}");
            if vcpu.0.run.is_runnable() && !is_on_cpu {
                for (cpu, running) in self.running.iter().enumerate() {
                    let may = self.scheduler.affinity(vcpu).contains(CpuId(cpu as u32));
                    assert!(
                        running.is_some() || !may || !self.online[cpu],
                        "{vcpu:?} waits while CPU{cpu} is idle"
                    );
                }
            }
        }
    }
}

#[test]
fn vcpus_on_one_processor_share_it_evenly() {
    let mut machine = Machine::new(1, 5);
    (0..5).for_each(|vcpu| machine.up(vcpu));
    machine.settle();
    machine.advance_by(100 * SLICE_NS);
    machine.check();
    for ran in &machine.ran_ns {
        assert!(
            ran.abs_diff(20 * SLICE_NS) <= SLICE_NS,
            "{:?}",
            machine.ran_ns
        );
    }
}

#[test]
fn as_many_vcpus_as_processors_run_all_the_time() {
    let mut machine = Machine::new(4, 4);
    (0..4).for_each(|vcpu| machine.up(vcpu));
    machine.settle();
    machine.advance_by(10 * SLICE_NS);
    machine.check();
    assert_eq!(machine.ran_ns, [10 * SLICE_NS; 4]);
}

#[test]
fn nobody_starves_when_there_are_more_vcpus_than_processors() {
    let mut machine = Machine::new(3, 8);
    (0..8).for_each(|vcpu| machine.up(vcpu));
    machine.settle();
    machine.advance_by(200 * SLICE_NS);
    machine.check();
    assert_eq!(machine.ran_ns.iter().sum::<u64>(), 3 * 200 * SLICE_NS);
    for ran in &machine.ran_ns {
        assert!(*ran >= 40 * SLICE_NS, "{:?}", machine.ran_ns);
    }
}

#[test]
fn an_idle_processor_helps() {
    let mut machine = Machine::new(2, 3);
    let pinned = CpuSet::only(CpuId(0));
    for vcpu in 0..2 {
        let poke = machine
            .scheduler
            .set_affinity(&machine.vcpus[vcpu], pinned, 0)
            .expect("on line");
        machine.heed(poke);
        machine.up(vcpu);
    }
    machine.settle();
    // Both wait for processor 0 only; the other has nothing that it may run.
    assert!(machine.running[1].is_none());
    machine.up(2);
    machine.settle();
    machine.check();
    assert_eq!(machine.running[1], Some(machine.vcpus[2].clone()));
    let poke = machine
        .scheduler
        .set_affinity(&machine.vcpus[1], CpuSet::ALL, 0)
        .expect("on line");
    machine.heed(poke);
    let (_, change) = machine.run(2).take_down();
    machine.tell(2, change);
    machine.settle();
    machine.check();
    assert_eq!(machine.running.iter().flatten().count(), 2);
}

#[test]
fn a_vcpu_that_yields_lets_the_others_run_first() {
    let mut machine = Machine::new(1, 3);
    (0..3).for_each(|vcpu| machine.up(vcpu));
    machine.settle();
    let mut order = Vec::new();
    for _ in 0..6 {
        order.push(machine.running[0].clone().expect("runs").0.id);
        machine.scheduler.yield_now(CpuId(0));
        machine.pick(CpuId(0));
    }
    assert_eq!(order[..3], order[3..]);
    order.truncate(3);
    order.sort_unstable();
    assert_eq!(order, [0, 1, 2]);
}

#[test]
fn a_vcpu_that_yields_alone_goes_on() {
    let mut machine = Machine::new(1, 1);
    machine.up(0);
    machine.settle();
    machine.scheduler.yield_now(CpuId(0));
    machine.pick(CpuId(0));
    assert_eq!(machine.running[0], Some(machine.vcpus[0].clone()));
}

#[test]
fn a_wake_up_while_being_put_away_is_not_lost() {
    let mut machine = Machine::new(1, 2);
    machine.up(0);
    machine.settle();
    let change = machine.run(0).block();
    machine.tell(0, change);
    let vcpu = machine.vcpus[0].clone();
    let decision = machine.scheduler.pick_next(CpuId(0), 0, Some(&vcpu));
    assert_eq!(decision.pick, Pick::Idle);
    // Still being saved when it is woken.
    let change = machine.run(0).unblock();
    assert_eq!(change, Change::BecameRunnable);
    assert_eq!(machine.scheduler.wake(&vcpu, 0), Poke(None));
    machine.running[0] = None;
    let poke = machine.scheduler.descheduled(CpuId(0), &vcpu, 0);
    assert_eq!(poke, Poke(Some(CpuId(0))));
    machine.heed(poke);
    machine.settle();
    machine.check();
}

#[test]
fn a_vcpu_without_a_processor_is_refused_and_one_that_loses_its_last_moves() {
    let mut machine = Machine::new(2, 1);
    let vcpu = machine.vcpus[0].clone();
    let nowhere = CpuSet::only(CpuId(7));
    assert_eq!(
        machine.scheduler.set_affinity(&vcpu, nowhere, 0),
        Err(SchedError::NoCpu)
    );
    assert_eq!(
        machine.scheduler.add(&TestVcpu::new(9), CpuSet::EMPTY),
        Err(SchedError::NoCpu)
    );
    let pinned = CpuSet::only(CpuId(1));
    let poke = machine
        .scheduler
        .set_affinity(&vcpu, pinned, 0)
        .expect("on line");
    machine.heed(poke);
    machine.up(0);
    machine.settle();
    assert_eq!(machine.running[1], Some(vcpu.clone()));
    machine.online[1] = false;
    machine.scheduler.set_online(CpuId(1), false, &mut |_| ());
    machine.pick(CpuId(1));
    machine.settle();
    machine.check();
    assert_eq!(machine.running[0], Some(vcpu.clone()));
    assert_eq!(machine.scheduler.affinity(&vcpu), CpuSet::ALL);
}

#[derive(Clone, Debug)]
enum Op {
    Up(usize),
    Down(usize),
    Block(usize),
    Unblock(usize),
    Pause(usize),
    Unpause(usize),
    Affinity(usize, u64),
    Yield(u32),
    Online(u32, bool),
    Advance(u64),
    /// Handles one poke, the n-th.
    Heed(usize),
    /// A processor picks though nobody asked it to.
    Pick(u32),
}

const CPUS: u32 = 3;
const VCPUS: usize = 5;

fn op() -> impl Strategy<Value = Op> {
    let vcpu = || 0..VCPUS;
    prop_oneof![
        3 => vcpu().prop_map(Op::Up),
        1 => vcpu().prop_map(Op::Down),
        4 => vcpu().prop_map(Op::Block),
        5 => vcpu().prop_map(Op::Unblock),
        1 => vcpu().prop_map(Op::Pause),
        2 => vcpu().prop_map(Op::Unpause),
        2 => (vcpu(), 1u64..8).prop_map(|(vcpu, set)| Op::Affinity(vcpu, set)),
        2 => (0..CPUS).prop_map(Op::Yield),
        1 => (1..CPUS, any::<bool>()).prop_map(|(cpu, is_online)| Op::Online(cpu, is_online)),
        3 => (1..2 * SLICE_NS).prop_map(Op::Advance),
        6 => (0usize..8).prop_map(Op::Heed),
        2 => (0..CPUS).prop_map(Op::Pick),
    ]
}

impl Machine {
    fn apply(&mut self, op: Op) {
        match op {
            Op::Up(vcpu) => self.up(vcpu),
            Op::Down(vcpu) => {
                let (_, change) = self.run(vcpu).take_down();
                self.tell(vcpu, change);
            }
            Op::Block(vcpu) => {
                let change = self.run(vcpu).block();
                self.tell(vcpu, change);
            }
            Op::Unblock(vcpu) => {
                let change = self.run(vcpu).unblock();
                self.tell(vcpu, change);
            }
            Op::Pause(vcpu) => {
                if let Ok(change) = self.run(vcpu).pause() {
                    self.tell(vcpu, change);
                }
            }
            Op::Unpause(vcpu) => {
                if let Ok(change) = self.run(vcpu).unpause() {
                    self.tell(vcpu, change);
                }
            }
            Op::Affinity(vcpu, set) => {
                let vcpu = self.vcpus[vcpu].clone();
                if let Ok(poke) =
                    self.scheduler
                        .set_affinity(&vcpu, CpuSet::from_words(&[set]), self.now_ns)
                {
                    self.heed(poke);
                }
            }
            Op::Yield(cpu) => {
                self.scheduler.yield_now(CpuId(cpu));
                self.pick(CpuId(cpu));
            }
            Op::Online(cpu, is_online) => {
                let mut pokes = Vec::new();
                self.online[cpu as usize] = is_online;
                self.scheduler
                    .set_online(CpuId(cpu), is_online, &mut |poke| pokes.push(poke));
                pokes.into_iter().for_each(|poke| self.heed(poke));
                self.poked.push(CpuId(cpu));
            }
            Op::Advance(by) => self.advance(by),
            Op::Heed(nth) => {
                if !self.poked.is_empty() {
                    let cpu = self.poked.swap_remove(nth % self.poked.len());
                    self.pick(cpu);
                }
            }
            Op::Pick(cpu) => self.pick(CpuId(cpu)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nobody_runs_twice_or_wrongly_and_nobody_waits_for_an_idle_processor(
        ops in proptest::collection::vec(op(), 1..150)
    ) {
        let mut machine = Machine::new(CPUS, VCPUS);
        for op in ops {
            machine.apply(op);
        }
        machine.settle();
        // A helper that found other work leaves who waits to the end of a slice.
        machine.advance_by(2 * SLICE_NS);
        machine.check();
        // Whoever can run does, sooner or later.
        let before = machine.ran_ns.clone();
        machine.advance_by(SLICE_NS * (VCPUS as u64 + 2));
        for (vcpu, before) in before.iter().enumerate() {
            if machine.run(vcpu).is_runnable() {
                prop_assert!(machine.ran_ns[vcpu] > *before, "v{} starves", vcpu);
            }
        }
    }
}
