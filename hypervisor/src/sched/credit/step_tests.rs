//! Single decisions, step by step, without a machine around them.

use super::share::Grant;
use super::simulator::MS;
use super::unit::Place;
use super::{Credit, Parameters, Share, steps};
use crate::sched::cpu_set::{CpuId, CpuSet};
use crate::sched::test_vcpu::TestVcpu;
use crate::sched::{Pick, Poke, SchedVcpu, Scheduler};
use std::sync::Arc;
use std::sync::atomic::Ordering;

const SECOND: u64 = 1000 * MS;

fn runnable(share: &Arc<Share>) -> TestVcpu {
    let vcpu = TestVcpu::of(0, share.clone());
    let _ = vcpu.0.run.up();
    vcpu
}

/// A capped vCPU is woken whose home is idle, but where it does not like to run; the processor that is told instead
/// finds that it may not run yet.
#[test]
fn a_parked_vcpu_is_not_forgotten_by_a_home_that_it_does_not_like() {
    let scheduler = Credit::new(2, Parameters::DEFAULT).expect("memory");
    for cpu in [CpuId(0), CpuId(1)] {
        scheduler.set_online(cpu, true, &mut |_| unreachable!());
    }
    let share = Arc::new(Share::new());
    share.set_cap(10);
    let vcpu = runnable(&share);
    scheduler.add(&vcpu, CpuSet::ALL).expect("on line");
    assert_eq!(vcpu.unit().home(), CpuId(0));
    scheduler.set_soft_affinity(&vcpu, &CpuSet::only(CpuId(1)));
    let mut now_ns = SECOND;
    for cpu in [CpuId(0), CpuId(1)] {
        assert_eq!(scheduler.pick_next(cpu, now_ns, None).pick, Pick::Idle);
    }
    while let Grant::For(_) = share.take(now_ns) {}
    let mut poke = scheduler.wake(&vcpu, now_ns);
    let mut timers = [None; 2];
    for _ in 0..10 {
        let timer = (0..2).filter_map(|cpu| timers[cpu].map(|when| (when, cpu)));
        let cpu = match poke.0 {
            Some(cpu) => cpu.0 as usize,
            None => {
                let (when_ns, cpu) = timer.min().expect("nobody looks at it any more");
                now_ns = when_ns;
                cpu
            }
        };
        let decision = scheduler.pick_next(CpuId(cpu as u32), now_ns, None);
        if decision.pick == Pick::Switch(vcpu.clone()) {
            assert!(now_ns < SECOND + 100 * MS);
            return;
        }
        timers[cpu] = decision.until_ns;
        poke = decision.poke;
    }
    panic!("it never runs");
}

/// One leaves its processor for an idle one that it likes, and somebody is woken there before that one has looked: its own
/// processor, which sleeps, is told.
#[test]
fn who_waits_for_a_processor_that_takes_another_one_is_not_forgotten() {
    let scheduler = Credit::new(2, Parameters::DEFAULT).expect("memory");
    let (own, liked) = (CpuId(0), CpuId(1));
    for cpu in [own, liked] {
        scheduler.set_online(cpu, true, &mut |_| unreachable!());
    }
    let [moves, bound] = [0, 1].map(|id| TestVcpu::of(id, Arc::new(Share::new())));
    let _ = (moves.0.run.up(), bound.0.run.up());
    scheduler.add(&moves, CpuSet::ALL).expect("on line");
    let here = CpuSet::only(liked);
    scheduler.add(&bound, here).expect("on line");
    assert_eq!(scheduler.wake(&moves, SECOND), Poke(Some(own)));
    let next = |cpu, now_ns, current| scheduler.pick_next(cpu, now_ns, current);
    assert_eq!(next(own, SECOND, None).pick, Pick::Switch(moves.clone()));
    assert_eq!(next(liked, SECOND, None).pick, Pick::Idle);
    scheduler.set_soft_affinity(&moves, &here);
    let now_ns = SECOND + super::TICK_NS;
    assert_eq!(next(own, now_ns, Some(&moves)).pick, Pick::Idle);
    assert_eq!(
        scheduler.descheduled(own, &moves, now_ns),
        Poke(Some(liked))
    );
    assert_eq!(scheduler.wake(&bound, now_ns), Poke(Some(liked)));
    let decision = next(liked, now_ns, None);
    assert_eq!(decision.pick, Pick::Switch(bound));
    assert_eq!(decision.poke, Poke(Some(own)));
    assert_eq!(next(own, now_ns, None).pick, Pick::Switch(moves));
}

#[test]
fn who_goes_on_after_its_budget_was_spent_is_boosted_under_its_share_only() {
    let scheduler = Credit::new(1, Parameters::DEFAULT).expect("memory");
    scheduler.set_online(CpuId(0), true, &mut |_| unreachable!());
    let vcpu = runnable(&Arc::new(Share::new()));
    scheduler.add(&vcpu, CpuSet::ALL).expect("on line");
    let unit = vcpu.unit();
    unit.is_boosted.store(true, Ordering::Relaxed);
    let mut locked = scheduler.lock(CpuId(0)).expect("there");
    for (charged, is_under) in [(SECOND, false), (1000, true), (0, true)] {
        unit.charged.store(charged, Ordering::Relaxed);
        locked.queue.push_parked(&vcpu, 5);
        assert!(locked.queue.unpark(5));
        assert_eq!(unit.is_boosted.load(Ordering::Relaxed), is_under);
        locked.queue.take(unit);
    }
}

/// It is passed over because it is not runnable for a moment, and is so again before that is told.
#[test]
fn who_was_passed_over_is_looked_at_again() {
    let scheduler = Credit::new(1, Parameters::DEFAULT).expect("memory");
    scheduler.set_online(CpuId(0), true, &mut |_| unreachable!());
    let vcpu = runnable(&Arc::new(Share::new()));
    scheduler.add(&vcpu, CpuSet::ALL).expect("on line");
    assert_eq!(scheduler.wake(&vcpu, 0), Poke(Some(CpuId(0))));
    let _ = vcpu.0.run.pause().expect("few");
    assert_eq!(scheduler.pick_next(CpuId(0), 0, None).pick, Pick::Idle);
    let _ = vcpu.0.run.unpause().expect("paused");
    assert_eq!(scheduler.wake(&vcpu, 0), Poke(Some(CpuId(0))));
    assert_eq!(scheduler.sleep(&vcpu, 0), Poke(None));
    assert_eq!(
        scheduler.pick_next(CpuId(0), 0, None).pick,
        Pick::Switch(vcpu)
    );
}

/// As many as there are go on, or are parked, at the same moment: the lock of the queue is released in between.
#[test]
fn a_lock_is_not_held_until_all_of_many_are_parked_or_go_on() {
    for count in [64, 512] {
        let scheduler = Credit::new(1, Parameters::DEFAULT).expect("memory");
        scheduler.set_online(CpuId(0), true, &mut |_| unreachable!());
        let share = Arc::new(Share::new());
        share.set_cap(1);
        let vcpus: Vec<_> = (0..count).map(|_| runnable(&share)).collect();
        for vcpu in &vcpus {
            scheduler.add(vcpu, CpuSet::ALL).expect("on line");
            let _ = scheduler.wake(vcpu, SECOND);
        }
        while let Grant::For(_) = share.take(SECOND) {}
        let counted = |now_ns| {
            let _ = steps::take();
            let (mut picks, mut most_locked) = (1, 0);
            let mut decision = scheduler.pick_next(CpuId(0), now_ns, None);
            while decision.pick == Pick::Idle && decision.until_ns == Some(now_ns) {
                picks += 1;
                decision = scheduler.pick_next(CpuId(0), now_ns, None);
            }
            most_locked = most_locked.max(steps::take().most_locked);
            (picks, most_locked, decision)
        };
        let (picks, most_locked, decision) = counted(SECOND);
        let then_ns = decision.until_ns.expect("they go on");
        assert_eq!(decision.pick, Pick::Idle);
        assert!(picks <= count / 16 + 2, "{picks} of {count}");
        assert!(most_locked <= 16 * 32, "{most_locked} of {count}");
        // They go on, and one of them runs.
        let decision = scheduler.pick_next(CpuId(0), then_ns + SECOND, None);
        assert!(matches!(decision.pick, Pick::Switch(_)), "{decision:?}");
        assert_eq!(decision.until_ns, Some(then_ns + SECOND));
        assert!(steps::take().most_locked <= 16 * 32);
    }
}

/// Charges that have grown apart for so long that their order would turn round.
#[test]
fn charges_are_kept_comparable() {
    let scheduler = Credit::new(2, Parameters::DEFAULT).expect("memory");
    for cpu in [CpuId(0), CpuId(1)] {
        scheduler.set_online(cpu, true, &mut |_| unreachable!());
    }
    let vcpus = [0; 2].map(|_| runnable(&Arc::new(Share::new())));
    for vcpu in &vcpus {
        scheduler
            .add(vcpu, CpuSet::only(CpuId(0)))
            .expect("on line");
        let _ = scheduler.wake(vcpu, 0);
    }
    let Pick::Switch(running) = scheduler.pick_next(CpuId(0), 0, None).pick else {
        panic!("nobody runs");
    };
    for (level, charged) in [(1 << 62, 5), (5, 1 << 62)] {
        scheduler.free_level.store(level, Ordering::Relaxed);
        running.unit().charged.store(charged, Ordering::Relaxed);
        let now_ns = running.unit().charged_ns.load(Ordering::Relaxed) + super::TICK_NS;
        let _ = scheduler.pick_next(CpuId(0), now_ns, Some(&running));
        let level = scheduler.free_level.load(Ordering::Relaxed);
        let apart = level.abs_diff(running.unit().charged());
        assert!(apart <= 1 << 61, "{apart}");
    }
}

/// One that is woken takes no place before the rate limit of who runs is over, and the processor, if it does not pick before
/// that, then does what it would have done. One that is capped, and may go on before, is looked at at once.
#[test]
fn a_processor_need_not_pick_while_nothing_can_come_of_it() {
    let scheduler = Credit::new(1, Parameters::DEFAULT).expect("memory");
    scheduler.set_online(CpuId(0), true, &mut |_| unreachable!());
    let shares = [0; 3].map(|_| Arc::new(Share::new()));
    let [hog, sleeper, capped] = shares.each_ref().map(runnable);
    for vcpu in [&hog, &sleeper, &capped] {
        scheduler.add(vcpu, CpuSet::ALL).expect("on line");
    }
    assert_eq!(scheduler.settled_until(CpuId(0)), 0);
    let _ = scheduler.wake(&hog, SECOND);
    assert_eq!(
        scheduler.pick_next(CpuId(0), SECOND, None).pick,
        Pick::Switch(hog.clone())
    );
    let then_ns = SECOND + Parameters::DEFAULT.ratelimit_ns;
    assert_eq!(scheduler.settled_until(CpuId(0)), then_ns);
    assert_eq!(
        scheduler.wake(&sleeper, SECOND + 1000),
        Poke(Some(CpuId(0)))
    );
    assert_eq!(scheduler.settled_until(CpuId(0)), then_ns);
    let early = scheduler.pick_next(CpuId(0), then_ns - 1, Some(&hog));
    assert_eq!((early.pick, early.until_ns), (Pick::Stay, Some(then_ns)));
    capped
        .unit()
        .not_before_ns
        .store(then_ns - 1, Ordering::Relaxed);
    assert_eq!(scheduler.wake(&capped, then_ns - 2), Poke(Some(CpuId(0))));
    assert_eq!(scheduler.settled_until(CpuId(0)), 0);
    assert_eq!(
        scheduler.pick_next(CpuId(0), then_ns, Some(&hog)).pick,
        Pick::Switch(sleeper)
    );
    // Nothing runs any more, and who comes then is to be seen at once.
    let _ = scheduler.pick_next(CpuId(0), then_ns + 1, None);
    let _ = scheduler.pick_next(CpuId(0), then_ns + 2, None);
    assert_eq!(
        scheduler.pick_next(CpuId(0), then_ns + 3, None).pick,
        Pick::Idle
    );
    assert_eq!(scheduler.settled_until(CpuId(0)), 0);
}

/// One is woken where another one was just woken, and the processor that has no such one has given its vCPUs so little that this
/// one would have to wait for a turn there.
#[test]
fn who_is_woken_stays_in_a_crowd_rather_than_wait_elsewhere_for_a_turn() {
    for (calm_level_ms, expected) in [(100, CpuId(0)), (0, CpuId(1))] {
        let scheduler = Credit::new(2, Parameters::DEFAULT).expect("memory");
        let [calm, crowded] = [CpuId(0), CpuId(1)];
        let [crowd, woken, a, b] = [0, 1, 2, 3].map(|id| TestVcpu::of(id, Arc::new(Share::new())));
        for vcpu in [&crowd, &woken, &a, &b] {
            let _ = vcpu.0.run.up();
        }
        let now_ns = 2 * SECOND;
        for (cpu, hog) in [(calm, a), (crowded, b)] {
            scheduler.set_online(cpu, true, &mut |_| unreachable!());
            scheduler.add(&hog, CpuSet::only(cpu)).expect("on line");
            let _ = scheduler.wake(&hog, SECOND);
            let first = scheduler.pick_next(cpu, SECOND, None);
            assert_eq!(first.pick, Pick::Switch(hog.clone()));
            let later = scheduler.pick_next(cpu, now_ns, Some(&hog));
            assert_eq!(later.pick, Pick::Stay);
        }
        for vcpu in [&crowd, &woken] {
            scheduler.add(vcpu, CpuSet::only(crowded)).expect("on line");
        }
        let level = |ms| 1 << 40 | woken.unit().share.charge(ms * MS);
        scheduler.free_level.store(level(50), Ordering::Relaxed);
        for (cpu, ms) in [(calm, calm_level_ms), (crowded, 100)] {
            scheduler.lock(cpu).expect("exists").queue.level = level(ms);
        }
        assert_eq!(scheduler.wake(&crowd, now_ns), Poke(Some(crowded)));
        woken.unit().set_hard(&CpuSet::ALL);
        let _ = woken.unit().take_entry();
        woken.unit().charged.store(level(95), Ordering::Relaxed);
        assert_eq!(scheduler.wake(&woken, now_ns), Poke(Some(expected)));
        let found = (woken.unit().home(), woken.unit().place());
        assert_eq!(found, (expected, Place::Boosted));
    }
}
