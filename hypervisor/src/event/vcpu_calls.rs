//! Calls of a domain's vCPUs about their timers, their waiting, and each other (`vcpu_op`, `sched_op`, `set_timer_op`),
//! read from bytes: the fuzzer's way to what wakes a vCPU.
//!
//! Time passes between them as the bytes say. A timer fires once, when it is due and not before; a vCPU that sleeps has
//! nothing to wake up for; none sleeps beyond the end of its poll; one that is down, or was never set up, does not run;
//! and the scheduler hears of each that may run and could not before.

use super::test_domain::{TestDomain, TestDomains};
use super::wait::{self, Wait};
use super::*;
use crate::growth::Grow;
use crate::sched::run_state::Change;
use crate::sched::setup::{NotSetUp, Setup};
use crate::sync::atomic::Ordering::SeqCst;
use crate::time::queue::{TimerId, TimerQueue};
use crate::time::vcpu_timers::{self, Action, Due, MAX_PERIOD_NS, MIN_PERIOD_NS, VcpuTimers};
use guest_abi::event_channel::Virq;
use guest_abi::ids::{Port, VcpuId};
use std::vec::Vec;

const VCPUS: u32 = 2;
/// Ports that are bound to something: port 0 is none, 1 and 2 are timers, 3 to 6 go from vCPU to vCPU.
const PORTS: u32 = 7;
/// Calls of one run at the most.
const MAX_CALLS: usize = 1000;

struct Vcpu {
    timers: VcpuTimers,
    entry: TimerId,
    /// What the timers should do.
    single_ns: Option<u64>,
    period_ns: u64,
    last_tick_ns: u64,
    /// The end of its poll.
    poll_ns: Option<u64>,
    setup: Setup,
    is_up: bool,
    is_running: bool,
    /// The ports it polls while it sleeps, none of them if it blocks.
    sleeps: Option<Vec<Port>>,
    /// Somebody has written to what it waits for, behind everybody's back.
    is_disturbed: bool,
    /// Timer interrupts that it got.
    raised: u32,
}

struct Run {
    domains: TestDomains,
    queue: TimerQueue<u32>,
    vcpus: Vec<Vcpu>,
    now_ns: u64,
}

/// Makes the calls that `bytes` say.
///
/// # Panics
/// A rule is broken.
pub fn run(bytes: &[u8]) {
    let mut run = Run::new();
    for bytes in bytes.chunks_exact(4).take(MAX_CALLS) {
        if let &[which, who, a, b] = bytes {
            run.step(which, u32::from(who) % VCPUS, a, b);
            run.check();
        }
    }
    // All who wait for a while wake up.
    let last = run.vcpus.iter().filter_map(|vcpu| vcpu.poll_ns).max();
    if let Some(last) = last {
        run.pass(last.saturating_sub(run.now_ns));
        run.check();
    }
    let mut up = run.vcpus.iter().filter(|vcpu| vcpu.is_up);
    assert!(up.all(|vcpu| vcpu.poll_ns.is_none()));
}

/// A time that is mostly near, and sometimes absurd.
fn near(now_ns: u64, a: u8, b: u8) -> u64 {
    let distance = u64::from(b) * 400_000;
    match a % 8 {
        0 => now_ns.saturating_sub(distance),
        1 => u64::MAX << (b % 64),
        2 => u64::from(b) / 128,
        _ => now_ns.saturating_add(distance),
    }
}

impl Run {
    fn new() -> Self {
        let domains = TestDomains(vec![TestDomain::new(0, 64, VCPUS, 2)]);
        let domain = &domains.0[0];
        let mut queue = TimerQueue::with_room(VCPUS as usize).expect("small");
        let mut vcpus = Vec::new();
        for id in 0..VCPUS {
            let vcpu = VcpuId(id);
            assert_eq!(
                bind_virq(domain, Virq::Timer as u32, vcpu),
                Ok(Port(1 + id))
            );
            vcpus.push(Vcpu {
                timers: VcpuTimers::new(),
                entry: queue.register(id).expect("small"),
                single_ns: None,
                period_ns: vcpu_timers::FIRST_PERIOD_NS,
                last_tick_ns: 0,
                poll_ns: None,
                setup: Setup::new(),
                is_up: id == 0,
                is_running: false,
                sleeps: None,
                is_disturbed: false,
                raised: 0,
            });
        }
        for port in 1 + VCPUS..PORTS {
            assert_eq!(bind_ipi(domain, VcpuId(port % VCPUS)), Ok(Port(port)));
        }
        let mut run = Self {
            domains,
            queue,
            vcpus,
            now_ns: 0,
        };
        // The first is set up by whoever makes the domain, the others by that one.
        let first = &run.vcpus[0].setup;
        assert!(first.claim());
        first.finish();
        for id in 0..VCPUS {
            assert!(!run.run_state(id).stop_running() || run.run_state(id).is_runnable());
            if id != 0 {
                let _ = run.run_state(id).take_down();
            }
        }
        run.begin_running(0);
        run
    }

    fn domain(&self) -> &TestDomain {
        &self.domains.0[0]
    }

    fn vcpu(&mut self, id: u32) -> &mut Vcpu {
        &mut self.vcpus[id as usize]
    }

    /// Changes a vCPU's timers and does what that makes due, as the hypervisor does.
    fn change<R>(&mut self, id: u32, change: impl FnOnce(&mut VcpuTimers, u64) -> R) -> R {
        let now_ns = self.now_ns;
        let vcpu = &mut self.vcpus[id as usize];
        let result = change(&mut vcpu.timers, now_ns);
        match vcpu.timers.next_ns() {
            Some(next_ns) => self.queue.set(vcpu.entry, next_ns),
            None => {
                self.queue.cancel(vcpu.entry);
            }
        }
        result
    }

    fn act(&mut self, id: u32, due: Due) {
        if due.interrupt {
            self.vcpu(id).raised += 1;
            assert!(raise_virq(self.domain(), Virq::Timer as u32, VcpuId(id)));
        }
        if due.poll {
            assert!(self.vcpu(id).poll_ns.is_some(), "the end of no poll");
            let change = wait::end(self.domain(), VcpuId(id), self.run_state(id));
            self.heard(id, change);
        }
    }

    fn run_state(&self, id: u32) -> &crate::sched::run_state::RunState {
        &self.domain().vcpu(VcpuId(id)).run
    }

    /// Whether the periodic timer ticks at this moment, for one that runs.
    fn tick(&mut self, id: u32) -> bool {
        let now_ns = self.now_ns;
        let vcpu = self.vcpu(id);
        let is_due =
            vcpu.period_ns != 0 && now_ns >= vcpu.last_tick_ns.saturating_add(vcpu.period_ns);
        if is_due {
            vcpu.last_tick_ns = now_ns;
        }
        is_due
    }

    /// Checks how many interrupts a vCPU got by something.
    fn expecting(&mut self, id: u32, expected: bool, work: impl FnOnce(&mut Self)) {
        let before = self.vcpu(id).raised;
        work(self);
        assert_eq!(
            self.vcpu(id).raised - before,
            u32::from(expected),
            "vCPU {id}"
        );
    }

    /// The scheduler hears of a change.
    fn heard(&self, id: u32, change: Change) {
        if change == Change::BecameRunnable {
            self.domain().vcpu(VcpuId(id)).wakes.fetch_add(1, SeqCst);
        }
    }

    fn begin_running(&mut self, id: u32) {
        assert!(self.vcpus[id as usize].is_up && self.vcpus[id as usize].setup.is_done());
        assert!(self.run_state(id).start_running());
        let expected = self.tick(id);
        self.vcpu(id).is_running = true;
        self.vcpu(id).poll_ns = None;
        self.vcpu(id).sleeps = None;
        self.expecting(id, expected, |run| {
            let due = run.change(id, VcpuTimers::begin_running);
            run.act(id, due);
        });
    }

    /// Whoever may run does. What is due of one when it begins may wake another.
    fn run_all(&mut self) {
        let may_run = |run: &Self, id: u32| {
            !run.vcpus[id as usize].is_running && run.run_state(id).is_runnable()
        };
        while let Some(id) = (0..VCPUS).find(|&id| may_run(self, id)) {
            let wakes = self.domain().vcpu(VcpuId(id)).wakes.swap(0, SeqCst);
            assert_ne!(wakes, 0, "the scheduler has not heard of vCPU {id}");
            self.begin_running(id);
        }
    }

    /// One that runs brings vCPU `id` up or takes it down, sets it up, or asks whether it is up.
    fn live(&mut self, id: u32, a: u8) {
        let is_up = self.vcpus[id as usize].is_up;
        match a % 8 {
            0..3 => match self.vcpus[id as usize].setup.bring_up(self.run_state(id)) {
                Ok(change) => {
                    assert!(!is_up || change == Change::None);
                    self.heard(id, change);
                    self.vcpu(id).is_up = true;
                }
                Err(NotSetUp) => assert!(!is_up),
            },
            // The last one that is up ends the domain, which is another story.
            3..5 => {
                if self.vcpus.iter().filter(|vcpu| vcpu.is_up).count() < 2 {
                    return;
                }
                let (was_up, _) = self.run_state(id).take_down();
                assert_eq!(was_up, is_up);
                self.vcpu(id).is_up = false;
                if self.vcpu(id).is_running {
                    self.put_away(id);
                }
            }
            5..7 => {
                let setup = &self.vcpus[id as usize].setup;
                let was_done = setup.is_done();
                let is_claimed = setup.claim();
                assert!(is_claimed != was_done, "it is set up once");
                if is_claimed {
                    setup.finish();
                }
            }
            _ => assert_eq!(self.run_state(id).is_up(), is_up),
        }
    }

    /// The processor takes a vCPU off that may not run any more.
    fn put_away(&mut self, id: u32) {
        self.vcpu(id).is_running = false;
        self.domain().vcpu(VcpuId(id)).wakes.store(0, SeqCst);
        assert!(!self.run_state(id).stop_running());
        self.change(id, |timers, _| timers.stop_running());
    }

    fn sleep(&mut self, id: u32, ports: Vec<Port>) {
        let vcpu = self.vcpu(id);
        (vcpu.sleeps, vcpu.is_disturbed) = (Some(ports), false);
        self.put_away(id);
    }

    fn set_single(&mut self, id: u32, action: Action) {
        let now_ns = self.now_ns;
        match action {
            Action::Arm(at_ns) => {
                assert!(at_ns > now_ns);
                self.vcpu(id).single_ns = Some(at_ns);
            }
            Action::RaiseNow | Action::Disarm => self.vcpu(id).single_ns = None,
        }
        self.expecting(id, action == Action::RaiseNow, |run| {
            let due = run.change(id, |timers, _| timers.set_single(action));
            run.act(id, due);
        });
    }

    fn step(&mut self, which: u8, id: u32, a: u8, b: u8) {
        let now_ns = self.now_ns;
        let other = id ^ 1;
        // A vCPU that sleeps makes no calls; those that are about another one come from that.
        let is_awake = self.vcpu(id).is_running;
        match which % 16 {
            0 | 1 if is_awake => {
                let action = vcpu_timers::set_timer_op(near(now_ns, a, b), now_ns);
                self.set_single(id, action);
            }
            2 | 3 if is_awake => {
                let action = vcpu_timers::set_singleshot(near(now_ns, a, b), now_ns);
                self.set_single(id, action);
            }
            4 if is_awake || self.vcpu(other).is_running => self.set_period(id, a, b),
            5 if is_awake || self.vcpu(other).is_running => {
                self.change(id, |timers, _| timers.stop_period());
                self.vcpu(id).period_ns = 0;
            }
            6 | 7 if is_awake => {
                let domain = self.domain();
                if wait::block(domain, VcpuId(id), self.run_state(id)) == Wait::Sleep {
                    self.sleep(id, Vec::new());
                }
            }
            8 | 9 if is_awake => self.poll(id, a, b),
            10 | 11 if is_awake => {
                let _ = send(
                    &self.domains,
                    self.domain(),
                    Port(u32::from(a) % (PORTS + 2)),
                );
            }
            12 => {
                // Handles its events, or pretends that there are some.
                let shared = self.domain().shared();
                let vcpu = self.domain().vcpu(VcpuId(id));
                vcpu.upcall_pending.store(a & 1, SeqCst);
                vcpu.upcall_mask.store(a >> 1 & 1, SeqCst);
                vcpu.selector.store(0, SeqCst);
                shared.pending[0].fetch_and(u64::from(b), SeqCst);
                shared.mask[0].store(u64::from(b & a), SeqCst);
                self.vcpus
                    .iter_mut()
                    .for_each(|vcpu| vcpu.is_disturbed = true);
            }
            15 if is_awake => self.live(u32::from(b) % VCPUS, a),
            13 | 14 => self.pass(u64::from(a) * u64::from(b) * 1000),
            _ => {}
        }
        self.run_all();
    }

    fn set_period(&mut self, id: u32, a: u8, b: u8) {
        let period_ns = match a {
            0..240 => u64::from(b) * 100_000,
            _ => u64::MAX << (b % 64),
        };
        let is_awake = self.vcpu(id).is_running;
        if !(MIN_PERIOD_NS..=MAX_PERIOD_NS).contains(&period_ns) {
            let refused = self.change(id, |timers, now_ns| timers.set_period(period_ns, now_ns));
            assert!(refused.is_err());
            return;
        }
        self.vcpu(id).period_ns = period_ns;
        let expected = is_awake && self.tick(id);
        self.expecting(id, expected, |run| {
            let due = run.change(id, |timers, now_ns| timers.set_period(period_ns, now_ns));
            run.act(id, due.expect("in range"));
        });
    }

    fn poll(&mut self, id: u32, a: u8, b: u8) {
        let ports: Vec<Port> = (0..a % 4)
            .map(|nth| Port(u32::from(b.rotate_left(3 * u32::from(nth))) % (PORTS + 1)))
            .collect();
        let end_ns = match vcpu_timers::poll_timeout(near(self.now_ns, a, b), self.now_ns) {
            Action::Disarm => None,
            Action::Arm(end_ns) => Some(end_ns),
            Action::RaiseNow => return,
        };
        self.change(id, |timers, _| timers.set_poll(end_ns));
        match wait::poll(self.domain(), VcpuId(id), self.run_state(id), &ports) {
            Ok(Wait::Sleep) => {
                self.vcpu(id).poll_ns = end_ns;
                self.sleep(
                    id,
                    if ports.is_empty() {
                        vec![Port(0)]
                    } else {
                        ports
                    },
                );
            }
            _ => self.change(id, |timers, _| timers.set_poll(None)),
        }
    }

    /// Time passes, and what is due happens.
    fn pass(&mut self, ns: u64) {
        self.now_ns = self.now_ns.saturating_add(ns);
        let now_ns = self.now_ns;
        let mut expected = Vec::new();
        for id in 0..VCPUS {
            let is_tick = self.vcpu(id).is_running && self.tick(id);
            let single_ns = &mut self.vcpu(id).single_ns;
            let is_single = single_ns.take_if(|at_ns| *at_ns <= now_ns).is_some();
            expected.push(u32::from(is_tick || is_single));
        }
        let before: Vec<u32> = self.vcpus.iter().map(|vcpu| vcpu.raised).collect();
        while let Some((_, id)) = self.queue.expire(now_ns) {
            let due = self.change(id, VcpuTimers::expire);
            self.act(id, due);
        }
        for (vcpu, (before, expected)) in self.vcpus.iter().zip(before.into_iter().zip(expected)) {
            assert_eq!(vcpu.raised - before, expected);
        }
        for id in 0..VCPUS {
            let is_over = self.vcpu(id).poll_ns.is_some_and(|end_ns| end_ns <= now_ns);
            assert!(!is_over || !self.run_state(id).is_blocked(), "it sleeps on");
        }
        self.run_all();
    }

    fn check(&mut self) {
        let next_ns = self.vcpus.iter().filter_map(|vcpu| vcpu.timers.next_ns());
        assert_eq!(self.queue.next_deadline(), next_ns.min());
        for id in 0..VCPUS {
            let (domain, vcpu) = (self.domain(), &self.vcpus[id as usize]);
            assert!(
                vcpu.timers
                    .next_ns()
                    .is_none_or(|at_ns| at_ns > self.now_ns)
            );
            let shared = domain.shared();
            let is_blocked = self.run_state(id).is_blocked();
            assert_eq!(self.run_state(id).is_runnable(), vcpu.is_running);
            if vcpu.sleeps.is_some() && !is_blocked {
                assert!(!vcpu.is_up, "it is awake and does not run");
                continue;
            }
            let Some(ports) = &vcpu.sleeps else {
                assert!(!is_blocked, "vCPU {id} is blocked while it runs");
                continue;
            };
            if vcpu.is_disturbed {
                continue;
            }
            assert!(!shared.is_upcall_pending(VcpuId(id)) || shared.is_upcall_masked(VcpuId(id)));
            assert!(ports.iter().all(|port| !shared.is_pending(*port)));
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::run;
    use crate::made_up_bytes::made_up_bytes;

    #[test]
    fn calls_read_from_made_up_bytes_break_no_rule() {
        for bytes in made_up_bytes(300, 2000) {
            run(&bytes);
        }
    }
}
