//! What the scheduler promises, tried on random machines.
//!
//! `PARAVANE_SCHED_SCENARIOS` says how many of each kind; without it there are few enough for some seconds, and five times as
//! many with `FULL=1 make test`.

use super::simulator::{Behaviour, Domain, MS, Machine, Random};
use super::{Parameters, TICK_NS};
use crate::sched::cpu_set::{CpuId, CpuSet};
use crate::test_cases::cases;

pub(super) const SECOND: u64 = 1000 * MS;

pub(super) fn scenarios(usual: u64) -> u64 {
    let wanted = std::env::var("PARAVANE_SCHED_SCENARIOS");
    wanted.map_or_else(|_| cases(usual), |count| count.parse().expect("a number"))
}

/// A number of processors: mostly few, up to 64.
fn some_cpus(random: &mut Random) -> u32 {
    match random.range(0, 9) {
        0..5 => random.range(1, 4) as u32,
        5..9 => random.range(5, 16) as u32,
        _ => random.range(17, 64) as u32,
    }
}

pub(super) fn hogs(weight: u16, count: u64) -> Domain {
    Domain {
        is_first: false,
        weight,
        cap: 0,
        vcpus: vec![(Behaviour::Hog, CpuSet::ALL); count as usize],
    }
}

/// What each domain gets of `cpus` processors by weight, at most what `most` says: whoever can't use its part leaves it to the
/// others.
pub(super) fn ideal(cpus: f64, domains: &[Domain], most: impl Fn(&Domain) -> f64) -> Vec<f64> {
    let mut share = vec![0.0; domains.len()];
    let mut is_full = vec![false; domains.len()];
    loop {
        let taken: f64 = (0..domains.len())
            .filter(|domain| is_full[*domain])
            .map(|domain| share[domain])
            .sum();
        let weights: f64 = (0..domains.len())
            .filter(|domain| !is_full[*domain])
            .map(|domain| f64::from(domains[domain].weight))
            .sum();
        if weights == 0.0 {
            return share;
        }
        let mut is_done = true;
        for (index, domain) in domains.iter().enumerate() {
            if !is_full[index] {
                share[index] = (cpus - taken) * f64::from(domain.weight) / weights;
            }
        }
        for (index, domain) in domains.iter().enumerate() {
            if !is_full[index] && share[index] > most(domain) {
                share[index] = most(domain);
                is_full[index] = true;
                is_done = false;
            }
        }
        if is_done {
            return share;
        }
    }
}

/// Compares what domains have got between two moments with what is theirs: within 1 % of it, and two slices for each of its
/// vCPUs, which is what a moment can be off.
pub(super) fn check_shares(
    machine: &Machine,
    before: &[u64],
    lasted_ns: u64,
    ideal: &[f64],
    what: &str,
) {
    for (index, ran_ns) in machine.domains_ran_ns().iter().enumerate() {
        let ran = (ran_ns - before[index]) as f64;
        let wanted = ideal[index] * lasted_ns as f64;
        let vcpus = machine.domains[index].vcpus.len() as f64;
        let allowed = wanted / 100.0 + vcpus * 60.0 * MS as f64;
        assert!(
            (ran - wanted).abs() <= allowed,
            "{what}: domain {index} of weight {} with {vcpus} vCPUs ran {:.3} s of {:.3} s",
            machine.domains[index].weight,
            ran / 1e9,
            wanted / 1e9
        );
    }
}

/// Whoever is entitled to `part` of a processor, by its domain's number, runs within what the others take before its turn comes
/// again.
pub(super) fn check_waits(machine: &Machine, what: &str, part: impl Fn(usize) -> f64) {
    for (account, &owner) in machine.accounts.iter().zip(&machine.owner) {
        let part = part(owner);
        let bound = (100.0 + 100.0 / part) * MS as f64;
        assert!(
            account.longest_wait_ns as f64 <= bound,
            "{what}: a vCPU of domain {owner} with {part:.3} of a processor waited for {} ms",
            account.longest_wait_ns / MS
        );
    }
}

fn share_scenario(seed: u64) {
    let mut random = Random(seed);
    let cpus = some_cpus(&mut random);
    let most_vcpus = u64::from(cpus * 8).min(512);
    let mut domains = Vec::new();
    let mut vcpus = 0;
    while vcpus < most_vcpus && (vcpus <= u64::from(cpus) || random.range(0, 9) != 0) {
        let weight = 1 << random.range(6, 10);
        let weight = random.range(weight, 2 * weight) as u16;
        let count = random
            .range(1, u64::from(cpus).min(8))
            .min(most_vcpus - vcpus);
        domains.push(hogs(weight, count));
        vcpus += count;
    }
    let mut machine = Machine::new(cpus, &domains, Parameters::DEFAULT, seed);
    machine.run_until(SECOND);
    let before = machine.domains_ran_ns();
    let lasted_ns = 20 * SECOND;
    machine.run_until(machine.now_ns + lasted_ns);
    machine.note_who_waits();
    let ideal = ideal(f64::from(cpus), &domains, |domain| {
        domain.vcpus.len() as f64
    });
    let what = format!("seed {seed}, {cpus} processors, {} domains", domains.len());
    check_shares(&machine, &before, lasted_ns, &ideal, &what);
    let all = u64::from(cpus) * machine.now_ns - machine.busy_ns;
    assert!(
        all <= u64::from(cpus) * 40 * MS,
        "{what}: idle for {all} ns"
    );
    check_waits(&machine, &what, |owner| {
        ideal[owner] / domains[owner].vcpus.len() as f64
    });
}

#[test]
fn domains_get_shares_by_weight_and_nobody_starves() {
    for seed in 0..scenarios(40) {
        share_scenario(seed);
    }
}

/// Domains that are pinned to parts of the machine share each by weight.
#[test]
fn domains_pinned_to_the_same_processors_share_them_by_weight() {
    for seed in 0..scenarios(40) {
        let mut random = Random(seed ^ 0x5151);
        let parts: Vec<u64> = (0..random.range(1, 5))
            .map(|_| random.range(1, 3))
            .collect();
        let cpus = parts.iter().sum::<u64>() as u32;
        let mut domains = Vec::new();
        let mut wanted = Vec::new();
        let mut first = 0;
        for part in parts {
            let mut set = CpuSet::EMPTY;
            (first..first + part).for_each(|cpu| set.insert(CpuId(cpu as u32)));
            first += part;
            let here: Vec<_> = (0..part + random.range(1, 4))
                .map(|_| Domain {
                    is_first: false,
                    weight: random.range(100, 1000) as u16,
                    cap: 0,
                    vcpus: vec![(Behaviour::Hog, set)],
                })
                .collect();
            wanted.extend(ideal(part as f64, &here, |_| 1.0));
            domains.extend(here);
        }
        let mut machine = Machine::new(cpus, &domains, Parameters::DEFAULT, seed);
        machine.run_until(SECOND);
        let before = machine.domains_ran_ns();
        machine.run_until(machine.now_ns + 20 * SECOND);
        check_shares(
            &machine,
            &before,
            20 * SECOND,
            &wanted,
            &format!("seed {seed}"),
        );
    }
}

/// Domains that leave some of their share unused: the others divide it by weight.
#[test]
fn what_workers_leave_is_shared_by_weight() {
    for seed in 0..scenarios(40) {
        let mut random = Random(seed ^ 0x77);
        let cpus = random.range(1, 8) as u32;
        let mut domains: Vec<_> = (0..u64::from(cpus) * 2 + 1)
            .map(|_| hogs(random.range(200, 600) as u16, 1))
            .collect();
        let nr_hogs = domains.len();
        for _ in 0..random.range(1, u64::from(cpus)) {
            let run_ns = random.range(MS / 10, 2 * MS);
            let wait_ns = run_ns * random.range(10, 30);
            domains.push(Domain {
                is_first: false,
                weight: 512,
                cap: 0,
                vcpus: vec![(Behaviour::Works { run_ns, wait_ns }, CpuSet::ALL)],
            });
        }
        let mut machine = Machine::new(cpus, &domains, Parameters::DEFAULT, seed);
        machine.run_until(SECOND);
        let before = machine.domains_ran_ns();
        machine.run_until(machine.now_ns + 20 * SECOND);
        let ran = machine.domains_ran_ns();
        let left: u64 = (0..nr_hogs)
            .map(|domain| ran[domain] - before[domain])
            .sum();
        let left = left as f64 / (20 * SECOND) as f64;
        let mut wanted = ideal(left, &domains[..nr_hogs], |_| 1.0);
        for domain in nr_hogs..domains.len() {
            wanted.push((ran[domain] - before[domain]) as f64 / (20 * SECOND) as f64);
        }
        check_shares(
            &machine,
            &before,
            20 * SECOND,
            &wanted,
            &format!("seed {seed}"),
        );
    }
}

/// Any set of processors.
fn some_affinity(random: &mut Random, cpus: u32) -> CpuSet {
    if random.range(0, 2) == 0 {
        return CpuSet::ALL;
    }
    let mut set = CpuSet::only(CpuId(random.range(0, u64::from(cpus) - 1) as u32));
    for _ in 0..random.range(0, 3) {
        set.insert(CpuId(random.range(0, u64::from(cpus) - 1) as u32));
    }
    set
}

/// vCPUs of all kinds, some of which may not run everywhere, and some of which should not.
pub(super) fn mixed_scenario_on(seed: u64, cpus: u32, nr_vcpus: u64) {
    let mut random = Random(seed ^ 0x314);
    let mut domains = Vec::new();
    for _ in 0..nr_vcpus {
        let behaviour = match random.range(0, 4) {
            0 => Behaviour::Hog,
            1 => Behaviour::Yields {
                every_ns: random.range(MS / 10, 20 * MS),
            },
            2 => Behaviour::Sleeps,
            _ => {
                let run_ns = random.range(MS / 20, 30 * MS);
                let wait_ns = run_ns * random.range(1, 20);
                Behaviour::Works { run_ns, wait_ns }
            }
        };
        domains.push(Domain {
            is_first: false,
            weight: random.range(128, 1024) as u16,
            cap: if random.range(0, 9) == 0 { 40 } else { 0 },
            vcpus: vec![(behaviour, some_affinity(&mut random, cpus))],
        });
    }
    let mut machine = Machine::new(cpus, &domains, Parameters::DEFAULT, seed);
    for vcpu in 0..domains.len() {
        machine.set_soft_affinity(vcpu, some_affinity(&mut random, cpus));
    }
    machine.run_until(20 * SECOND);
    machine.note_who_waits();
    assert!(
        machine.worst_idle_ns <= TICK_NS,
        "seed {seed}: somebody waited for {} ms beside an idle processor",
        machine.worst_idle_ns / MS
    );
    // The least that anybody is entitled to is its part of one processor on which all may be.
    let weights: u64 = domains.iter().map(|domain| u64::from(domain.weight)).sum();
    check_waits(&machine, &format!("seed {seed}"), |owner| {
        f64::from(domains[owner].weight) / weights as f64
    });
}

#[test]
fn nobody_waits_beside_an_idle_processor_for_longer_than_a_tick() {
    for seed in 0..scenarios(150) {
        let mut random = Random(seed ^ 0x313);
        let cpus = some_cpus(&mut random);
        let nr_vcpus = random.range(1, u64::from(cpus * 8).min(512));
        mixed_scenario_on(seed, cpus, nr_vcpus);
    }
}

/// Who is woken, and uses less than its share, runs within the rate limit, however many hogs there are.
pub(super) fn who_is_woken_on(seed: u64, cpus: u32, nr_hogs: u64) {
    let mut random = Random(seed ^ 0xb006);
    let mut domains: Vec<_> = (0..nr_hogs)
        .map(|_| hogs(random.range(128, 512) as u16, 1))
        .collect();
    let nr_woken = random.range(1, u64::from(cpus).min(4));
    for _ in 0..nr_woken {
        let run_ns = random.range(MS / 20, MS / 2);
        let mut woken = hogs(256, 1);
        woken.vcpus[0].0 = Behaviour::Works {
            run_ns,
            wait_ns: 40 * run_ns,
        };
        domains.push(woken);
    }
    let mut machine = Machine::new(cpus, &domains, Parameters::DEFAULT, seed);
    machine.run_until(5 * SECOND);
    for account in machine.accounts.iter().skip(nr_hogs as usize) {
        assert!(account.latencies_ns.len() > 100, "seed {seed}");
        let worst = account.latencies_ns.iter().skip(10).max().expect("some");
        assert!(
            *worst <= Parameters::DEFAULT.ratelimit_ns + MS / 100,
            "seed {seed}, {nr_woken} woken: {} µs",
            worst / 1000
        );
    }
}

#[test]
fn who_is_woken_under_its_share_runs_within_the_rate_limit() {
    for seed in 0..scenarios(60) {
        let mut random = Random(seed ^ 0xb005);
        let cpus = some_cpus(&mut random);
        let nr_hogs = u64::from(cpus) * random.range(1, 6);
        who_is_woken_on(seed, cpus, nr_hogs);
    }
}

#[test]
fn a_slice_and_a_rate_limit_are_what_is_set() {
    let two = [hogs(256, 1), hogs(256, 1)];
    let switches = |slice_ms: u64| {
        let parameters = Parameters {
            slice_ns: slice_ms * MS,
            ratelimit_ns: MS / 10,
            migration_delay_ns: 0,
        };
        let mut machine = Machine::new(1, &two, parameters, 1);
        machine.run_until(10 * SECOND);
        machine.accounts[0].turns()
    };
    assert!(switches(5).abs_diff(1000) < 20, "{}", switches(5));
    assert!(switches(100).abs_diff(50) < 4, "{}", switches(100));
}

/// vCPUs that are pinned have run alone for minutes when hogs come that may run everywhere, and after five seconds each has
/// its share. Or others contended beside them meanwhile: then nobody waits for longer than ever.
#[test]
fn who_is_pinned_has_its_share_however_long_it_had_run_alone() {
    for seed in 0..scenarios(40) {
        let mut random = Random(seed ^ 0xb00d);
        let others_contend = seed % 2 == 1;
        let cpus = random.range(3, 8) as u32;
        let mut domains = Vec::new();
        let mut one = |set: CpuSet| {
            domains.push(Domain {
                is_first: false,
                weight: random.range(200, 600) as u16,
                cap: 0,
                vcpus: vec![(Behaviour::Hog, set)],
            });
        };
        let set = |cpus: core::ops::Range<u32>| {
            let mut set = CpuSet::EMPTY;
            cpus.for_each(|cpu| set.insert(CpuId(cpu)));
            set
        };
        // Each to one processor, or all of them to the same.
        let nr_pinned = 1 + seed as u32 / 2 % (cpus - 2);
        for cpu in 0..nr_pinned {
            let is_together = !others_contend && seed % 4 == 0;
            one(if is_together {
                set(0..nr_pinned)
            } else {
                set(cpu..cpu + 1)
            });
        }
        if others_contend {
            (0..3).for_each(|_| one(set(cpus - 2..cpus)));
        }
        let first = nr_pinned as usize + if others_contend { 3 } else { 0 };
        (0..=cpus).for_each(|_| one(CpuSet::ALL));
        for domain in domains.iter_mut().skip(first) {
            domain.vcpus[0].0 = Behaviour::Sleeps;
        }
        let mut machine = Machine::new(cpus, &domains, Parameters::DEFAULT, seed);
        machine.run_until(random.range(30, 180) * SECOND);
        (first..domains.len()).for_each(|vcpu| machine.begin(vcpu, Behaviour::Hog));
        machine.run_until(machine.now_ns + 5 * SECOND);
        let what = format!("seed {seed}, {cpus} processors, {nr_pinned} pinned");
        let before = machine.domains_ran_ns();
        machine.run_until(machine.now_ns + 20 * SECOND);
        machine.note_who_waits();
        let weights: u64 = domains.iter().map(|domain| u64::from(domain.weight)).sum();
        check_waits(&machine, &what, |owner| {
            f64::from(domains[owner].weight) / weights as f64
        });
        if !others_contend {
            let ideal = ideal(f64::from(cpus), &domains, |_| 1.0);
            check_shares(&machine, &before, 20 * SECOND, &ideal, &what);
        }
    }
}

/// Three vCPUs contend for a processor to which they are bound. Whoever comes from there and may run everywhere is
/// owed nothing for that by who runs elsewhere.
#[test]
fn who_comes_from_where_others_are_bound_is_owed_no_more() {
    for comes_by_affinity in [false, true] {
        let first = CpuSet::only(CpuId(0));
        let mut domains = vec![hogs(256, 1); 5];
        (0..3).for_each(|bound| domains[bound].vcpus[0].1 = first);
        domains[4].vcpus[0].0 = Behaviour::Sleeps;
        let mut machine = Machine::new(2, &domains, Parameters::DEFAULT, 1);
        machine.run_until(60 * SECOND);
        let ran_ns = machine.accounts[3].ran_ns;
        assert!(ran_ns > 59 * SECOND, "{ran_ns}");
        if comes_by_affinity {
            machine.set_affinity(2, CpuSet::ALL);
        } else {
            // Its first home is the first processor.
            machine.begin(4, Behaviour::Hog);
        }
        let end_ns = machine.now_ns + 10 * SECOND;
        machine.run_until(end_ns);
        machine.note_who_waits();
        let waited_ns = machine.accounts[3].longest_wait_ns;
        assert!(waited_ns < SECOND, "{} ms", waited_ns / MS);
        let ran_ns = machine.accounts[3].ran_ns - ran_ns;
        assert!(ran_ns > 4 * SECOND, "{} ms", ran_ns / MS);
    }
}

/// A domain all of whose vCPUs but one sleep for the moment when its share is brought up to date gets no more for it.
#[test]
fn who_sleeps_while_accounts_are_looked_at_gains_nothing() {
    for seed in 0..scenarios(10) {
        let mut domains = [hogs(256, 4), hogs(256, 4)];
        for (behaviour, _) in &mut domains[0].vcpus {
            *behaviour = Behaviour::Dodges;
        }
        domains[0].vcpus[0].0 = Behaviour::Works {
            run_ns: MS / 4,
            wait_ns: 1000,
        };
        let mut machine = Machine::new(4, &domains, Parameters::DEFAULT, seed);
        machine.run_until(SECOND);
        let before = machine.domains_ran_ns();
        machine.run_until(21 * SECOND);
        let ran_ns = machine.domains_ran_ns();
        let part = (ran_ns[0] - before[0]) as f64 / (80 * SECOND) as f64;
        assert!(part < 0.53, "seed {seed}: {part:.3}");
    }
}
