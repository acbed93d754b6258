//! Single decisions, step by step, without a machine around them.

use super::share::Grant;
use super::simulator::MS;
use super::{Credit, Parameters, Share};
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

#[test]
fn who_goes_on_after_its_budget_was_spent_is_boosted_under_its_share_only() {
    let scheduler = Credit::new(1, Parameters::DEFAULT).expect("memory");
    scheduler.set_online(CpuId(0), true, &mut |_| unreachable!());
    let vcpu = runnable(&Arc::new(Share::new()));
    scheduler.add(&vcpu, CpuSet::ALL).expect("on line");
    let unit = vcpu.unit();
    unit.is_boosted.store(true, Ordering::Relaxed);
    let mut locked = scheduler.lock(CpuId(0)).expect("there");
    for (charged, is_under) in [(1000, false), (0, true)] {
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
