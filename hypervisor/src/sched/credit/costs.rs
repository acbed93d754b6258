//! What a decision costs, as queues grow: counted in entries of queues and processors that are looked at, and entries that are
//! moved.

use super::Parameters;
use super::properties::{SECOND, hogs};
use super::simulator::{Behaviour, Counted, Domain, MS, Machine};
use crate::sched::cpu_set::{CpuId, CpuSet};

fn alone(behaviour: Behaviour, set: CpuSet) -> Domain {
    let mut domain = hogs(256, 1);
    domain.vcpus = vec![(behaviour, set)];
    domain
}

/// Those that run now and then.
fn workers(count: u64) -> impl Iterator<Item = Domain> {
    (1..=count).map(|nth| {
        let run_ns = nth * MS / 4;
        let wait_ns = 20 * run_ns;
        alone(Behaviour::Works { run_ns, wait_ns }, CpuSet::ALL)
    })
}

fn run(cpus: u32, domains: &[Domain]) -> Machine {
    let mut machine = Machine::new(cpus, domains, Parameters::DEFAULT, 1);
    machine.run_until(20 * SECOND);
    machine
}

fn cost(cpus: u32, domains: &[Domain]) -> Counted {
    run(cpus, domains).picks
}

/// Not one step more, however many sleep.
#[test]
fn who_sleeps_costs_nothing() {
    let mut domains: Vec<_> = (0..8).map(|_| hogs(256, 1)).collect();
    domains.extend(workers(4));
    let few = cost(4, &domains);
    domains.extend((0..2000).map(|_| alone(Behaviour::Sleeps, CpuSet::ALL)));
    let many = cost(4, &domains);
    assert_eq!(few, many);
    assert!(few.steps > 10_000, "{}", few.steps);
}

/// On one processor, where they all wait in one queue. On average it is the logarithm of their number; at most, that number
/// itself where some are bound to it, for whoever may run everywhere is compared with them.
#[test]
fn who_waits_costs_at_most_its_place_in_one_queue() {
    let mixed = |count: u64| {
        let mut domains: Vec<_> = (0..count).map(|_| hogs(256, 1)).collect();
        domains.extend(workers(4));
        domains
    };
    let bound = |count: u64| {
        let mut domains = mixed(count);
        domains.push(alone(Behaviour::Hog, CpuSet::only(CpuId(0))));
        domains
    };
    for count in [8, 32, 128, 512] {
        let log = (count as f64).log2();
        let (free, with_bound) = (cost(1, &mixed(count)), cost(1, &bound(count)));
        println!(
            "{count} wait: {:.1} steps, at most {}; with one that is bound {:.1}, at most {}",
            free.mean(),
            free.most,
            with_bound.mean(),
            with_bound.most
        );
        assert!(
            free.mean() <= 8.0 + 2.0 * log,
            "{count}: {:.1}",
            free.mean()
        );
        assert!(free.most as u64 <= 40 + 2 * count, "{count}: {}", free.most);
        assert!(
            with_bound.most as u64 <= 40 + 3 * count,
            "{count}: {}",
            with_bound.most
        );
    }
}

/// With so many processors as there are queues to look at, and three vCPUs for each.
#[test]
fn processors_cost_a_look_each() {
    for cpus in [1, 4, 16, 64] {
        let mut domains: Vec<_> = (0..3 * u64::from(cpus)).map(|_| hogs(256, 1)).collect();
        domains.extend(workers(u64::from(cpus)));
        let cost = cost(cpus, &domains);
        println!(
            "{cpus} processors: {:.1} steps, at most {}",
            cost.mean(),
            cost.most
        );
        assert!(
            cost.mean() <= 12.0 + 5.0 * f64::from(cpus),
            "{cpus}: {:.1}",
            cost.mean()
        );
        assert!(
            cost.most <= 60 + 10 * cpus as usize,
            "{cpus}: {}",
            cost.most
        );
    }
}

/// Of a crowd that a cap has parked only one goes on at a time. All others would find nothing left.
#[test]
fn a_parked_crowd_costs_little() {
    let others = [
        hogs(256, 2),
        alone(
            Behaviour::Works {
                run_ns: MS / 5,
                wait_ns: 20 * MS,
            },
            CpuSet::ALL,
        ),
    ];
    for cap in [1, 10, 100] {
        let mut domains = others.to_vec();
        domains.extend([(); 4].map(|()| {
            let mut domain = hogs(256, 128);
            domain.cap = cap;
            domain
        }));
        let cost = cost(2, &domains);
        println!(
            "cap {cap}: {} picks, {:.1} steps, at most {}",
            cost.calls,
            cost.mean(),
            cost.most
        );
        assert!(cost.calls <= 20 * 40_000, "cap {cap}: {}", cost.calls);
        assert!(cost.mean() <= 40.0, "cap {cap}: {:.1}", cost.mean());
        assert!(cost.most <= 600, "cap {cap}: {}", cost.most);
    }
}

/// Who is woken finds its place among those that are boosted, or that wait, and a processor that is to look; who is put away finds
/// one among those that wait. Where each processor has as many, that is a pass over its queue at most.
#[test]
fn who_is_woken_or_put_away_costs_a_place_in_a_queue() {
    for (cpus, count) in [(1, 8), (1, 128), (1, 512), (16, 512), (64, 512)] {
        let mut domains: Vec<_> = (0..count - 4).map(|_| hogs(256, 1)).collect();
        domains.extend(workers(4));
        let machine = run(cpus, &domains);
        let (wakes, ends) = (machine.wakes, machine.ends);
        println!(
            "{count} on {cpus}: woken {:.1} steps, at most {}; put away {:.1}, at most {}",
            wakes.mean(),
            wakes.most,
            ends.mean(),
            ends.most
        );
        let (log, most) = (
            (count as f64).log2(),
            60 + 2 * cpus as usize + count / cpus as usize,
        );
        for counted in [wakes, ends] {
            assert!(counted.calls > 500, "{}", counted.calls);
            assert!(counted.mean() <= 8.0 + 2.0 * log, "{:.1}", counted.mean());
            assert!(counted.most <= most, "{} of {most}", counted.most);
        }
    }
}
