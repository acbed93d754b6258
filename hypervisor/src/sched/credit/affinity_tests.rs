//! Where vCPUs run, tried on simulated machines: those that should run somewhere, those that are woken again and again, and those
//! whose caches are warm.

use super::properties::{SECOND, hogs, scenarios};
use super::simulator::{Behaviour, Domain, MS, Machine, Random};
use super::{Parameters, TICK_NS};
use crate::sched::cpu_set::{CpuId, CpuSet};

fn works(run_ns: u64, wait_ns: u64) -> Domain {
    let mut domain = hogs(256, 1);
    domain.vcpus[0].0 = Behaviour::Works { run_ns, wait_ns };
    domain
}

/// One that runs where it should not goes to a processor that it likes as soon as one is idle, and stays; and where none is, it
/// runs all the same.
#[test]
fn who_runs_alone_goes_to_an_idle_processor_that_it_likes() {
    for liked in 0..4 {
        let mut machine = Machine::new(4, &[hogs(256, 1)], Parameters::DEFAULT, 1);
        machine.run_until(SECOND);
        let liked = CpuId(liked);
        machine.set_soft_affinity(0, CpuSet::only(liked));
        machine.run_until(machine.now_ns + TICK_NS + MS);
        assert_eq!(machine.place(0), Some(liked));
        let moves = machine.accounts[0].moves;
        machine.run_until(machine.now_ns + 10 * SECOND);
        assert_eq!(machine.place(0), Some(liked));
        assert_eq!(machine.accounts[0].moves, moves);
        assert!(machine.accounts[0].ran_ns > 11 * SECOND - 32 * MS);
    }
}

/// Two that like the same processor, which takes one of them: the other one runs elsewhere meanwhile, all the time.
#[test]
fn who_likes_a_processor_that_is_taken_runs_elsewhere() {
    for seed in 0..scenarios(10) {
        let mut machine = Machine::new(2, &[hogs(256, 1), hogs(256, 1)], Parameters::DEFAULT, seed);
        (0..2).for_each(|vcpu| machine.set_soft_affinity(vcpu, CpuSet::only(CpuId(1))));
        machine.run_until(10 * SECOND);
        for account in &machine.accounts {
            assert!(account.ran_ns > 10 * SECOND - 64 * MS, "{}", account.ran_ns);
        }
    }
}

/// Those that work for a moment, wait, and are woken, on a machine with a processor for each, run where they ran: a processor that
/// has nothing to do leaves them to theirs, which is on its way.
#[test]
fn who_is_woken_again_and_again_does_not_go_to_and_fro() {
    let (mut all_moves, mut all_turns) = (0, 0);
    for seed in 0..scenarios(10) {
        let mut random = Random(seed ^ 0x9019);
        let cpus = random.range(4, 16);
        let domains: Vec<_> = (0..cpus)
            .map(|_| {
                let run_ns = random.range(MS / 20, 2 * MS);
                works(run_ns, run_ns * random.range(1, 20))
            })
            .collect();
        let mut machine = Machine::new(cpus as u32, &domains, Parameters::DEFAULT, seed);
        machine.run_until(5 * SECOND);
        let turns: u64 = machine.accounts.iter().map(|account| account.turns()).sum();
        let moves: u64 = machine.accounts.iter().map(|account| account.moves).sum();
        assert!(turns > 500, "seed {seed}: {turns} turns");
        // Two of a few may come to one processor again and again at the same moments.
        assert!(
            moves * 20 <= turns,
            "seed {seed}, {cpus} processors: {moves} moves in {turns} turns"
        );
        (all_moves, all_turns) = (all_moves + moves, all_turns + turns);
    }
    assert!(
        all_moves * 100 <= all_turns,
        "{all_moves} moves in {all_turns} turns"
    );
}

/// Whose caches are warm waits for its processor for as long as is set, not for longer, before an idle one takes it.
#[test]
fn who_has_run_a_moment_ago_stays_for_as_long_as_is_set() {
    let moves = |migration_delay_ns: u64| {
        let parameters = Parameters {
            migration_delay_ns,
            ..Parameters::DEFAULT
        };
        // Its processor is taken again and again for less than the delay, and another one is idle.
        let only = CpuSet::only(CpuId(0));
        let mut pinned = works(2 * MS, 6 * MS);
        pinned.vcpus[0].1 = only;
        let mut machine = Machine::new(2, &[hogs(256, 1), pinned], parameters, 3);
        machine.run_until(5 * SECOND);
        assert!(
            machine.worst_idle_ns <= migration_delay_ns + TICK_NS,
            "{}",
            machine.worst_idle_ns
        );
        (machine.accounts[0].moves, machine.accounts[0].ran_ns)
    };
    let (free, ran_ns) = moves(0);
    assert!(free >= 1 && ran_ns > 4900 * MS, "{free} {ran_ns}");
    let (stays, ran_ns) = moves(100 * MS);
    assert_eq!(stays, 0);
    assert!(ran_ns < 4500 * MS, "{ran_ns}");
}

/// What says that nobody waits beside an idle processor does find it where one is not woken for who waits.
#[test]
fn an_interrupt_that_is_lost_is_found() {
    let domains: Vec<_> = (0..8).map(|_| works(MS, 4 * MS)).collect();
    for (lost, is_found) in [(0, false), (1000, true)] {
        let mut machine = Machine::new(4, &domains, Parameters::DEFAULT, 1);
        machine.lost_interrupts = lost;
        machine.run_until(3 * SECOND);
        machine.note_who_waits();
        assert_eq!(machine.worst_idle_ns > TICK_NS, is_found);
    }
}
