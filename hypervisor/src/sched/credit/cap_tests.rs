//! Caps, on random machines.

use super::Parameters;
use super::properties::{SECOND, hogs, ideal, scenarios};
use super::simulator::{Domain, MS, Machine, Random};

/// How late a processor may be to look at who runs, in ns.
const LATE_NS: f64 = 4000.0;

/// Domains whose caps allow each vCPU `vcpu_percent` of its time at most, and all together `machine_percent` of the machine; maybe
/// beside others that always want to run. Over any 300 ms none runs for longer than its cap allows. Returns what each runs for in the
/// long run of what its cap allows, of those whose weight gives them as much.
fn cap_scenario(seed: u64, vcpu_percent: u64, machine_percent: u32, has_hogs: bool) -> Vec<f64> {
    let mut random = Random(seed ^ 0xca9);
    let cpus = random.range(1, 8) as u32;
    let mut domains = Vec::new();
    for _ in 0..random.range(1, u64::from(cpus)) {
        let vcpus = random.range(1, 3).min(u64::from(cpus));
        let mut domain = hogs(random.range(128, 512) as u16, vcpus);
        domain.cap = random.range(5, vcpu_percent * vcpus) as u16;
        let caps: u32 = domains
            .iter()
            .map(|domain: &Domain| u32::from(domain.cap))
            .sum();
        if caps + u32::from(domain.cap) <= machine_percent * cpus {
            domains.push(domain);
        }
    }
    let entitled = ideal(f64::from(cpus), &domains, |domain| {
        f64::from(domain.cap) / 100.0
    });
    let nr_capped = domains.len();
    if has_hogs {
        domains.extend((0..cpus).map(|_| hogs(1, 1)));
    }
    let mut machine = Machine::new(cpus, &domains, Parameters::DEFAULT, seed);
    machine.run_until(SECOND);
    let start = machine.domains_ran_ns();
    let mut history = vec![start.clone()];
    let step = 10 * MS;
    for _ in 0..1000 {
        machine.run_until(machine.now_ns + step);
        history.push(machine.domains_ran_ns());
    }
    for (index, domain) in domains.iter().enumerate().take(nr_capped) {
        let cap = f64::from(domain.cap) / 100.0;
        for window in history.windows(31) {
            let ran = (window[30][index] - window[0][index]) as f64;
            // What a processor is late by to end a grant, it is paid for after.
            let allowed = 300.0 * MS as f64 * cap + f64::from(cpus) * LATE_NS;
            assert!(
                ran <= allowed,
                "seed {seed}: domain {index} with cap {} ran {:.3} ms in 300 ms",
                domain.cap,
                ran / 1e6
            );
        }
    }
    let end = history.last().expect("many");
    let of_cap = |index: usize| {
        let cap = f64::from(domains[index].cap) / 100.0;
        let ran = (end[index] - start[index]) as f64;
        (entitled[index] >= cap * 0.999).then_some(ran / (10.0 * SECOND as f64 * cap))
    };
    (0..nr_capped).filter_map(of_cap).collect()
}

/// Whether caps are met within 2 %.
fn are_met(of_caps: &[f64]) -> bool {
    of_caps.iter().all(|&of_cap| of_cap >= 0.98)
}

/// A cap is met within 2 %, if the vCPUs have two fifths of their time to spare, and the machine a quarter.
#[test]
fn caps_are_kept_over_300_ms_and_met() {
    for seed in 0..scenarios(24) {
        let of_caps = cap_scenario(seed, 60, 75, false);
        assert!(are_met(&of_caps), "seed {seed}: {of_caps:?} of their caps");
    }
}

/// Beside others that always want to run, too, if the vCPUs have half of their time to spare, and the machine two fifths.
#[test]
fn caps_are_kept_and_met_beside_hogs() {
    for seed in 0..scenarios(24) {
        let of_caps = cap_scenario(seed, 50, 60, true);
        assert!(are_met(&of_caps), "seed {seed}: {of_caps:?} of their caps");
    }
}

/// Where there is less to spare, who has to wait for a processor can't make up for all of it later without running for longer in
/// some 300 ms than its cap allows: on one machine of a hundred it is met within 5 % only.
#[test]
fn caps_are_kept_and_nearly_met_on_a_crowded_machine() {
    let nr_scenarios = scenarios(24);
    // In this one vCPUs go on, and are parked again, in step with the looks of a processor.
    const IN_STEP: u64 = 119;
    let mut nr_missed = 0;
    for seed in (0..nr_scenarios).chain([IN_STEP]) {
        let of_caps = cap_scenario(seed, 60, 75, true);
        let is_near = of_caps.iter().all(|&of_cap| of_cap >= 0.95);
        assert!(is_near, "seed {seed}: {of_caps:?} of their caps");
        if seed != IN_STEP && !are_met(&of_caps) {
            nr_missed += 1;
        }
    }
    assert!(nr_missed * 100 <= nr_scenarios, "{nr_missed} were missed");
}
