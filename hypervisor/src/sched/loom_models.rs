//! Wake-ups that race with a processor's switch, checked by loom:
//! `RUSTFLAGS="--cfg loom" cargo test --release -p hypervisor --lib sched::loom_models`.

use super::cpu_set::{CpuId, CpuSet};
use super::credit::{Credit, Parameters};
use super::run_state::{Change, RunState};
use super::setup::{Found, Setup};
use super::test_vcpu::TestVcpu;
use super::{Pick, Poke, Scheduler};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;

const CPU0: CpuId = CpuId(0);
const CPU1: CpuId = CpuId(1);

type Machine = Credit<TestVcpu>;

fn machine(cpus: u32) -> Arc<Machine> {
    let machine = Credit::new(cpus, Parameters::DEFAULT).expect("memory");
    for cpu in 0..cpus {
        machine.set_online(CpuId(cpu), true, &mut |_| unreachable!());
    }
    Arc::new(machine)
}

fn vcpu(machine: &Machine) -> TestVcpu {
    let vcpu = TestVcpu::new(0);
    machine.add(&vcpu, CpuSet::ALL).expect("memory");
    vcpu
}

fn tell(machine: &Machine, vcpu: &TestVcpu, change: Change) -> Poke {
    match change {
        Change::BecameRunnable => machine.wake(vcpu, 0),
        Change::BecameIdle => machine.sleep(vcpu, 0),
        Change::None => Poke(None),
    }
}

/// Whether a processor that picks now gets the vCPU.
fn gets(machine: &Machine, cpu: CpuId, vcpu: &TestVcpu) -> bool {
    machine.pick_next(cpu, 0, None).pick == Pick::Switch(vcpu.clone())
}

#[test]
fn a_vcpu_woken_while_it_is_put_away_runs_again() {
    loom::model(|| {
        let machine = machine(1);
        let vcpu = vcpu(&machine);
        let _ = tell(&machine, &vcpu, vcpu.0.run.up().1);
        assert!(gets(&machine, CPU0, &vcpu));
        // It blocks; the event comes from elsewhere at any moment.
        let _: Change = vcpu.0.run.block();
        let (other, its_vcpu) = (Arc::clone(&machine), vcpu.clone());
        let waker = thread::spawn(move || {
            let change = its_vcpu.0.run.unblock();
            tell(&other, &its_vcpu, change)
        });
        let pick = machine.pick_next(CPU0, 0, Some(&vcpu)).pick;
        let mut pokes = Vec::new();
        if pick != Pick::Stay {
            pokes.push(machine.descheduled(CPU0, &vcpu, 0));
        }
        pokes.push(waker.join().expect("no panic"));
        if pick != Pick::Stay {
            assert!(
                pokes.contains(&Poke(Some(CPU0))),
                "nobody tells the processor"
            );
            assert!(gets(&machine, CPU0, &vcpu));
        }
        assert!(vcpu.0.run.is_running());
    });
}

#[test]
fn a_pause_and_a_wake_up_at_once_leave_it_out_of_the_queue_until_the_pause_ends() {
    loom::model(|| {
        let machine = machine(1);
        let vcpu = vcpu(&machine);
        let _ = vcpu.0.run.up();
        let _: Change = vcpu.0.run.block();
        let (other, its_vcpu) = (Arc::clone(&machine), vcpu.clone());
        let waker = thread::spawn(move || {
            let change = its_vcpu.0.run.unblock();
            let _ = tell(&other, &its_vcpu, change);
        });
        let change = vcpu.0.run.pause().expect("few");
        let _ = tell(&machine, &vcpu, change);
        waker.join().expect("no panic");
        assert!(!gets(&machine, CPU0, &vcpu));
        let change = vcpu.0.run.unpause().expect("paused");
        assert_eq!(tell(&machine, &vcpu, change), Poke(Some(CPU0)));
        assert!(gets(&machine, CPU0, &vcpu));
    });
}

#[test]
fn a_processor_that_goes_idle_sees_the_vcpu_or_is_poked() {
    loom::model(|| {
        let machine = machine(2);
        let vcpu = vcpu(&machine);
        // Its home is processor 0, which is busy elsewhere; processor 1 finds nothing and goes idle.
        let (other, its_vcpu) = (Arc::clone(&machine), vcpu.clone());
        let waker = thread::spawn(move || {
            let change = its_vcpu.0.run.up().1;
            tell(&other, &its_vcpu, change)
        });
        let has_it = gets(&machine, CPU1, &vcpu);
        let poke = waker.join().expect("no panic");
        assert!(has_it || poke == Poke(Some(CPU1)), "{poke:?}");
        assert!(has_it || gets(&machine, CPU1, &vcpu));
        assert!(!gets(&machine, CPU0, &vcpu));
    });
}

/// Two are woken whose home sleeps, but wakes by itself at any moment, and another processor, which has nothing to do, leaves to
/// it who waits there: both run.
#[test]
fn who_is_left_to_a_processor_that_was_called_runs() {
    // Three threads: all interleavings with up to three switches that nobody asked for.
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let machine = machine(2);
        let both = [0, 1].map(|id| {
            let vcpu = TestVcpu::new(id);
            machine.add(&vcpu, CpuSet::only(CPU0)).expect("memory");
            let set = machine.set_affinity(&vcpu, CpuSet::ALL, 0);
            assert_eq!(set, Ok(Poke(None)));
            vcpu
        });
        for cpu in [CPU0, CPU1] {
            assert_eq!(machine.pick_next(cpu, 0, None).pick, Pick::Idle);
        }
        let (other, theirs) = (Arc::clone(&machine), both.clone());
        let waker = thread::spawn(move || {
            theirs.map(|vcpu| {
                let change = vcpu.0.run.up().1;
                tell(&other, &vcpu, change)
            })
        });
        let mut running = [None, None];
        let mut follow = |mut pokes: Vec<Poke>| {
            while let Some(Poke(poked)) = pokes.pop() {
                let Some(cpu) = poked else { continue };
                let current: &mut Option<TestVcpu> = &mut running[cpu.0 as usize];
                let decision = machine.pick_next(cpu, 0, current.as_ref());
                if let Pick::Switch(vcpu) = decision.pick {
                    assert_eq!(current.replace(vcpu), None);
                }
                pokes.push(decision.poke);
            }
        };
        follow(vec![Poke(Some(CPU0))]);
        let [first, second] = waker.join().expect("no panic");
        // The interrupt for the first comes late.
        follow(vec![first, second]);
        for vcpu in &both {
            assert!(vcpu.0.run.is_running(), "{vcpu:?} is forgotten");
        }
    });
}

#[test]
fn two_processors_never_get_the_same_vcpu() {
    loom::model(|| {
        let machine = machine(2);
        let vcpu = vcpu(&machine);
        let _ = tell(&machine, &vcpu, vcpu.0.run.up().1);
        let (other, its_vcpu) = (Arc::clone(&machine), vcpu.clone());
        let thief = thread::spawn(move || gets(&other, CPU1, &its_vcpu));
        let mine = gets(&machine, CPU0, &vcpu);
        assert_ne!(mine, thief.join().expect("no panic"));
    });
}

/// A processor that looks until there is nothing to see and then sleeps until it is interrupted; what it has
/// seen when everybody is done.
fn sleeper_has_seen(askers: usize, asks_itself: bool) {
    use super::attention::{Attention, Reasons};
    use loom::sync::atomic::{AtomicU32, Ordering};
    let attention = Arc::new(Attention::new());
    let there_is = Arc::new(AtomicU32::new(0));
    // Interrupts that the processor has not taken.
    let interrupts = Arc::new(AtomicU32::new(0));
    let others: Vec<_> = (0..askers)
        .map(|_| {
            let (attention, there_is, interrupts) =
                (attention.clone(), there_is.clone(), interrupts.clone());
            thread::spawn(move || {
                there_is.fetch_add(1, Ordering::SeqCst);
                if attention.ask(Reasons::PICK) {
                    interrupts.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    let mut seen = 0;
    let mut look_until_asleep = || {
        if asks_itself {
            let _ = attention.ask(Reasons::TIMER);
        }
        loop {
            if attention.is_asked() {
                let _ = attention.take();
                seen = there_is.load(Ordering::SeqCst);
            } else if interrupts.swap(0, Ordering::SeqCst) == 0 {
                return seen;
            }
        }
    };
    let _ = look_until_asleep();
    for other in others {
        other.join().expect("no panic");
    }
    // It sleeps; what wakes it is an interrupt that is there now.
    if interrupts.load(Ordering::SeqCst) != 0 {
        let _ = look_until_asleep();
    }
    assert_eq!(seen, askers as u32, "asleep with something to do");
}

#[test]
fn a_processor_does_not_sleep_on_what_it_was_asked_to_look_at() {
    // Three threads: all interleavings with up to three switches that nobody asked for.
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| sleeper_has_seen(2, false));
}

#[test]
fn nor_if_it_asked_itself_meanwhile() {
    loom::model(|| sleeper_has_seen(1, true));
}

/// One processor, its vCPU, and an event for that, with the steps of `arch::scheduler` and of the way to the guest in
/// their order.
struct Waiting {
    machine: Arc<Machine>,
    vcpu: TestVcpu,
    attention: super::attention::Attention,
    /// Interrupts that the processor has not taken.
    interrupts: loom::sync::atomic::AtomicU32,
    is_pending: loom::sync::atomic::AtomicBool,
}

/// What the processor has of the vCPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Holds {
    Running,
    Parked,
    Nothing,
}

/// Where the processor's way has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// The guest has its event.
    Delivered,
    Asleep(Holds),
}

impl Waiting {
    fn new() -> Arc<Self> {
        let machine = machine(1);
        let vcpu = vcpu(&machine);
        let _ = tell(&machine, &vcpu, vcpu.0.run.up().1);
        assert!(gets(&machine, CPU0, &vcpu));
        Arc::new(Self {
            machine,
            vcpu,
            attention: super::attention::Attention::new(),
            interrupts: loom::sync::atomic::AtomicU32::new(0),
            is_pending: loom::sync::atomic::AtomicBool::new(false),
        })
    }

    /// By somebody else than the processor.
    fn ask(&self, why: super::attention::Reasons) {
        use loom::sync::atomic::Ordering::SeqCst;
        if self.attention.ask(why) {
            self.interrupts.fetch_add(1, SeqCst);
        }
    }

    /// An event is sent: `event::deliver`, `EventDomain::kick` of a domain, `arch::scheduler::wake` and `poke`.
    fn send(&self) {
        use super::attention::Reasons;
        use loom::sync::atomic::Ordering::SeqCst;
        if self.is_pending.swap(true, SeqCst) {
            return;
        }
        let run = &self.vcpu.0.run;
        if run.unblock() == Change::BecameRunnable {
            match self.machine.wake(&self.vcpu, 0) {
                Poke(Some(CPU0)) => self.ask(Reasons::PICK),
                Poke(None) if run.is_running() => self.ask(Reasons::PICK),
                poke => assert_eq!(poke, Poke(None)),
            }
        } else if run.is_running() {
            self.ask(Reasons::EVENT);
        }
    }

    /// `SCHEDOP_block`, by the guest.
    fn block(&self) {
        use loom::sync::atomic::Ordering::SeqCst;
        let _: Change = self.vcpu.0.run.block();
        if self.is_pending.load(SeqCst) {
            let _: Change = self.vcpu.0.run.unblock();
        } else {
            let _ = self.attention.ask(super::attention::Reasons::PICK);
        }
    }

    /// The processor's way from a hypercall, or out of sleep, to its guest or to sleep.
    fn leave(&self, mut holds: Holds) -> End {
        use super::attention::Reasons;
        use loom::sync::atomic::Ordering::SeqCst;
        let run = &self.vcpu.0.run;
        loop {
            if !self.attention.is_asked() && holds == Holds::Running {
                if self.is_pending.load(SeqCst) {
                    return End::Delivered;
                }
                // Woken for nothing, or not asleep yet: the guest waits on.
                self.block();
                continue;
            }
            let why = self.attention.take();
            if holds == Holds::Running && why == Reasons::EVENT {
                continue;
            }
            let current = (holds != Holds::Nothing).then_some(&self.vcpu);
            match self.machine.pick_next(CPU0, 0, current).pick {
                Pick::Stay | Pick::Switch(_) => holds = Holds::Running,
                Pick::Idle if holds == Holds::Nothing => {}
                Pick::Idle if run.is_only_blocked() => holds = Holds::Parked,
                Pick::Idle => {
                    holds = Holds::Nothing;
                    if self.machine.descheduled(CPU0, &self.vcpu, 0) != Poke(None) {
                        let _ = self.attention.ask(Reasons::PICK);
                    }
                }
            }
            if holds != Holds::Running
                && !self.attention.is_asked()
                && self.interrupts.swap(0, SeqCst) == 0
            {
                return End::Asleep(holds);
            }
        }
    }

    /// All that the processor does until nothing can wake it any more.
    fn settle(&self, mut end: End) {
        use loom::sync::atomic::Ordering::SeqCst;
        if let End::Asleep(holds) = end {
            assert!(
                self.interrupts.swap(0, SeqCst) != 0,
                "asleep with an event, {holds:?}"
            );
            end = self.leave(holds);
        }
        assert_eq!(end, End::Delivered);
    }
}

#[test]
fn an_event_reaches_a_vcpu_on_its_way_to_sleep() {
    loom::model(|| {
        let waiting = Waiting::new();
        let theirs = Arc::clone(&waiting);
        let sender = thread::spawn(move || theirs.send());
        waiting.block();
        let end = waiting.leave(Holds::Running);
        sender.join().expect("no panic");
        waiting.settle(end);
    });
}

#[test]
fn an_event_reaches_a_vcpu_that_is_paused_for_a_moment_on_its_way_to_sleep() {
    // Three threads: all interleavings with up to three switches that nobody asked for.
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        use super::attention::Reasons;
        let waiting = Waiting::new();
        let (theirs, pausers) = (Arc::clone(&waiting), Arc::clone(&waiting));
        let sender = thread::spawn(move || theirs.send());
        let pauser = thread::spawn(move || {
            let (machine, vcpu) = (&pausers.machine, &pausers.vcpu);
            let change = vcpu.0.run.pause().expect("few");
            if tell(machine, vcpu, change) != Poke(None) || vcpu.0.run.is_running() {
                pausers.ask(Reasons::PICK);
            }
            let change = vcpu.0.run.unpause().expect("paused");
            if change == Change::BecameRunnable {
                match machine.wake(vcpu, 0) {
                    Poke(Some(CPU0)) => pausers.ask(Reasons::PICK),
                    Poke(None) if vcpu.0.run.is_running() => pausers.ask(Reasons::PICK),
                    poke => assert_eq!(poke, Poke(None)),
                }
            }
        });
        waiting.block();
        let end = waiting.leave(Holds::Running);
        sender.join().expect("no panic");
        pauser.join().expect("no panic");
        waiting.settle(end);
    });
}

#[test]
fn a_vcpu_that_is_closed_while_it_is_brought_up_is_down() {
    loom::model(|| {
        let setup = Arc::new((Setup::new(), RunState::down()));
        assert!(setup.0.claim());
        setup.0.finish();
        let other = Arc::clone(&setup);
        let sibling = thread::spawn(move || other.0.bring_up(&other.1).is_ok());
        // As whoever takes its state away does.
        assert_eq!(setup.0.close(), Found::State);
        let _ = setup.1.take_down();
        let _: bool = sibling.join().expect("no panic");
        assert!(!setup.1.is_up());
        assert!(setup.0.bring_up(&setup.1).is_err());
    });
}

#[test]
fn a_vcpu_that_is_emptied_while_others_set_it_up_loses_no_state() {
    loom::model(|| {
        // How many states there are: each is counted by who sets one up, and taken by who empties it.
        let vcpu = Arc::new((Setup::new(), AtomicU32::new(0)));
        let set_up = |vcpu: &(Setup, AtomicU32)| {
            if vcpu.0.claim() {
                assert_eq!(vcpu.1.fetch_add(1, Ordering::AcqRel), 0, "a state is lost");
                vcpu.0.finish();
            }
        };
        let others =
            [Arc::clone(&vcpu), Arc::clone(&vcpu)].map(|vcpu| thread::spawn(move || set_up(&vcpu)));
        if vcpu.0.close() == Found::State {
            assert_eq!(vcpu.1.swap(0, Ordering::AcqRel), 1);
            vcpu.0.forget();
        }
        for other in others {
            other.join().expect("no panic");
        }
        assert_eq!(vcpu.0.is_done(), vcpu.1.load(Ordering::Acquire) == 1);
    });
}
