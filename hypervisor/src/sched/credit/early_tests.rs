//! Turns that end before their rate limit does, for who is woken: at once, but not too often.

use super::pick::{EARLY_IN_A_ROW, EARLY_IN_LIMIT};
use super::properties::{SECOND, hogs, scenarios};
use super::simulator::{Account, Behaviour, Domain, MS, Machine, Random};
use super::{Credit, Parameters, Share, TICK_NS};
use crate::sched::cpu_set::{CpuId, CpuSet};
use crate::sched::test_vcpu::TestVcpu;
use crate::sched::{Pick, Scheduler};
use std::sync::Arc;

const LIMIT_NS: u64 = Parameters::DEFAULT.ratelimit_ns;
const CPU: CpuId = CpuId(0);

/// One that always wants to run, and one that is woken every now and then.
struct Two {
    scheduler: Credit<TestVcpu>,
    hog: TestVcpu,
    sleeper: TestVcpu,
    now_ns: u64,
}

impl Two {
    /// The first has run for a while.
    fn new() -> Self {
        let scheduler = Credit::new(1, Parameters::DEFAULT).expect("memory");
        scheduler.set_online(CPU, true, &mut |_| unreachable!());
        let [hog, sleeper] = [0, 1].map(|id| TestVcpu::of(id, Arc::new(Share::new())));
        for vcpu in [&hog, &sleeper] {
            scheduler.add(vcpu, CpuSet::ALL).expect("on line");
            let _ = vcpu.0.run.up();
        }
        let _ = sleeper.0.run.block();
        let _ = scheduler.wake(&hog, SECOND);
        let now_ns = SECOND + 2 * TICK_NS;
        let picked = scheduler.pick_next(CPU, SECOND, None).pick;
        assert_eq!(picked, Pick::Switch(hog.clone()));
        let picked = scheduler.pick_next(CPU, now_ns, Some(&hog)).pick;
        assert_eq!(picked, Pick::Stay);
        Self {
            scheduler,
            hog,
            sleeper,
            now_ns,
        }
    }

    /// The second is woken and runs for 10 µs. How long it has waited for that.
    fn wakes(&mut self) -> u64 {
        let woken_ns = self.now_ns;
        let _ = self.sleeper.0.run.unblock();
        let _ = self.scheduler.wake(&self.sleeper, self.now_ns);
        let mut current = &self.hog;
        for _ in 0..4 {
            let decision = self.scheduler.pick_next(CPU, self.now_ns, Some(current));
            let until_ns = decision.until_ns.expect("there is always something");
            if decision.pick == Pick::Stay {
                self.now_ns = until_ns;
                continue;
            }
            assert_eq!(decision.pick, Pick::Switch(self.sleeper.clone()));
            let waited_ns = self.now_ns - woken_ns;
            let _ = self.scheduler.descheduled(CPU, &self.hog, self.now_ns);
            self.now_ns += 10_000;
            let _ = self.sleeper.0.run.block();
            current = &self.sleeper;
            let decision = self.scheduler.pick_next(CPU, self.now_ns, Some(current));
            assert_eq!(decision.pick, Pick::Switch(self.hog.clone()));
            let _ = self.scheduler.descheduled(CPU, current, self.now_ns);
            return waited_ns;
        }
        panic!("it does not run");
    }

    fn goes_by(&mut self, ns: u64) {
        let then_ns = self.now_ns + ns;
        while self.now_ns < then_ns {
            let decision = self
                .scheduler
                .pick_next(CPU, self.now_ns, Some(&self.hog.clone()));
            assert_eq!(decision.pick, Pick::Stay);
            self.now_ns = then_ns.min(decision.until_ns.expect("a tick"));
        }
    }
}

#[test]
fn some_turns_end_at_once_for_who_is_woken_then_the_limit_holds() {
    let mut two = Two::new();
    // The first finds one that has run for long, and in this time there is more than one that may be early.
    let quick = (0..100).take_while(|_| two.wakes() == 0).count() as u64;
    let most = EARLY_IN_A_ROW + 1 + quick * 10_000 * EARLY_IN_LIMIT / LIMIT_NS;
    assert!((EARLY_IN_A_ROW..=most).contains(&quick), "{quick}");
    // The next has waited for the limit, which is enough for some more.
    let quick = (0..100).take_while(|_| two.wakes() == 0).count() as u64;
    assert!((2..=EARLY_IN_LIMIT).contains(&quick), "{quick}");
    // And after a while it is as it was.
    two.goes_by(20 * LIMIT_NS);
    let quick = (0..100).take_while(|_| two.wakes() == 0).count() as u64;
    assert!((EARLY_IN_A_ROW..=most).contains(&quick), "{quick}");
}

/// Two that wake each other on processors of their own, as fast as they can, beside hogs: most waits are what they are on an idle
/// machine, and the hogs are not interrupted more often than is said.
#[test]
fn who_is_woken_beside_hogs_mostly_runs_at_once() {
    for seed in 0..scenarios(8) {
        let mut random = Random(seed ^ 0xea71);
        // With the interrupts between, each uses less than the two fifths of a processor that are its share; or it may use more.
        let is_under = seed % 2 == 0;
        let run_ns = random.range(3_000, if is_under { 7_000 } else { 40_000 });
        let passes = |to: usize| Domain {
            is_first: false,
            weight: 256,
            cap: 0,
            vcpus: vec![(
                Behaviour::Passes { run_ns, to },
                CpuSet::only(CpuId(1 - to as u32)),
            )],
        };
        let lasts_ns = SECOND;
        let medians = |nr_hogs: u64| {
            let mut domains = vec![passes(1), passes(0)];
            domains.extend((0..nr_hogs).map(|_| hogs(256, 1)));
            let mut machine = Machine::new(2, &domains, Parameters::DEFAULT, seed);
            // At the start all are new, and equally urgent.
            machine.run_until(10 * TICK_NS);
            let of_start = |account: &mut Account| account.latencies_ns.clear();
            machine.accounts.iter_mut().for_each(of_start);
            machine.run_until(lasts_ns);
            let turns: u64 = machine.accounts[2..].iter().map(|it| it.turns()).sum();
            let medians = [0, 1].map(|vcpu| {
                let mut latencies = machine.accounts[vcpu].latencies_ns.clone();
                assert!(latencies.len() > 1000, "seed {seed}: {}", latencies.len());
                latencies.sort_unstable();
                let worst = latencies.last().expect("some");
                assert!(
                    !is_under || *worst <= 2 * LIMIT_NS,
                    "seed {seed}: {worst} ns"
                );
                latencies[latencies.len() / 2]
            });
            (medians, turns)
        };
        let (idle, _) = medians(0);
        let (beside, turns) = medians(3);
        for (idle, beside) in idle.into_iter().zip(beside) {
            assert!(
                beside <= 2 * idle.max(1000),
                "seed {seed}: {beside} ns, {idle} ns on an idle machine"
            );
        }
        // A turn for each limit, those that are early, and those that have nobody to go on for.
        let most = 2 * (lasts_ns / LIMIT_NS) * (1 + EARLY_IN_LIMIT) + 2 * EARLY_IN_A_ROW;
        assert!(turns <= most, "seed {seed}: {turns} turns, {most}");
    }
}

/// The first domain may run everywhere, and all others that want to are bound to a processor each: it is woken as late as an
/// interrupt takes, and has what it wants.
#[test]
fn who_is_woken_beside_hogs_that_are_bound_runs_at_once() {
    const SKIPPED: usize = 100;
    for (cpus, per_cpu, vcpus, run_ns, wait_ns) in [
        (1, 3, 1, MS / 10, 10 * MS),
        (2, 2, 1, MS / 10, 10 * MS),
        (2, 1, 2, MS, 50 * MS),
        (4, 2, 4, MS / 20, 3 * MS),
    ] {
        for is_first in [true, false] {
            let mut works = hogs(256, vcpus);
            works.is_first = is_first;
            for (behaviour, _) in &mut works.vcpus {
                *behaviour = Behaviour::Works { run_ns, wait_ns };
            }
            let mut domains = vec![works];
            for cpu in 0..cpus {
                let mut hog = hogs(256, 1);
                hog.vcpus[0].1 = CpuSet::only(CpuId(cpu));
                domains.extend((0..per_cpu).map(|_| hog.clone()));
            }
            let mut machine = Machine::new(cpus, &domains, Parameters::DEFAULT, 1);
            machine.run_until(40 * SECOND);
            let mut latencies: Vec<_> = machine.accounts[..vcpus as usize]
                .iter()
                .flat_map(|account| account.latencies_ns.iter().skip(SKIPPED).copied())
                .collect();
            latencies.sort_unstable();
            let late = latencies.iter().filter(|ns| **ns > LIMIT_NS * 101 / 100);
            let late = late.count();
            let what = format!("{cpus} processors, {per_cpu} hogs each, first {is_first}");
            println!(
                "{what}: {late} of {} late, worst {:?}",
                latencies.len(),
                latencies.last()
            );
            assert!(latencies.len() > 1000, "{what}: {}", latencies.len());
            assert!(late * 1000 <= latencies.len(), "{what}: {late}");
            assert!(latencies[latencies.len() / 2] <= 10_000, "{what}");
        }
    }
}

/// Who is woken beside others that are as urgent waits for the rate limit that is set, whichever that is.
#[test]
fn the_rate_limit_is_what_is_set() {
    for ratelimit_ns in [100_000, MS, 5 * MS, 20 * MS] {
        let parameters = Parameters {
            ratelimit_ns,
            ..Parameters::DEFAULT
        };
        let mut domains = vec![hogs(256, 1); 3];
        domains.extend((0..6).map(|nth| {
            let mut works = hogs(256, 1);
            works.vcpus[0].0 = Behaviour::Works {
                run_ns: 10_000 + nth * 1000,
                wait_ns: 500_000,
            };
            works
        }));
        let mut machine = Machine::new(1, &domains, parameters, 1);
        machine.run_until(10 * SECOND);
        let latencies = machine.accounts[3..]
            .iter()
            .flat_map(|account| account.latencies_ns.iter().skip(10));
        let worst = *latencies.max().expect("some");
        println!("{ratelimit_ns}: {worst}");
        assert!(
            (ratelimit_ns / 3..=ratelimit_ns + 100_000).contains(&worst),
            "{worst} ns of {ratelimit_ns}"
        );
    }
}
