//! Which vCPU a processor runs: round robin among those that live on it, for now.
//!
//! A vCPU lives on one processor. Everything that may change what a processor should do sets its work
//! flag and, from elsewhere, sends it an interrupt; it looks again on its way to a guest, or when it wakes
//! from idle sleep. Interrupts stay off between the last look and the sleep, so no wake-up is lost.

use super::guest::running::Running;
use super::guest::switch;
use super::percpu::{self, CpuInfo, MAX_CPUS};
use super::{apic, clock, console_input, rendezvous, smp, traps, watchdog};
use crate::domain::{Domain, Domains, Vcpu};
use crate::event;
use crate::lock::IrqLock;
use crate::sched::run_state::Change;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use guest_abi::event_channel::Virq;
use x86_64::instructions::interrupts;

/// How long a vCPU runs while others wait.
const SLICE_NS: u64 = 10_000_000;

static WORK: [AtomicBool; MAX_CPUS] = [const { AtomicBool::new(false) }; MAX_CPUS];
static QUEUES: [IrqLock<Queue>; MAX_CPUS] = [const {
    IrqLock::new(Queue {
        vcpus: Vec::new(),
        next: 0,
        slice_end: 0,
    })
}; MAX_CPUS];
static STARTED: AtomicBool = AtomicBool::new(false);

/// The vCPUs that live on one processor.
struct Queue {
    vcpus: Vec<Arc<Vcpu>>,
    /// Whose turn it is.
    next: usize,
    /// When the turn of the one that runs ends, ns.
    slice_end: u64,
}

unsafe extern "C" {
    fn enter_guests(frame: u64) -> !;
}

/// Whether processors run vCPUs yet.
pub(super) fn is_started() -> bool {
    STARTED.load(Ordering::Relaxed)
}

/// Whether processor `cpu` has something to do before its guest goes on.
#[inline]
pub(super) fn has_work(cpu: u32) -> bool {
    WORK.get(cpu as usize)
        .is_some_and(|work| work.load(Ordering::Acquire))
}

pub(super) fn set_work(cpu: u32) {
    if let Some(work) = WORK.get(cpu as usize) {
        work.store(true, Ordering::Release);
    }
}

/// From now on the calling processor runs vCPUs.
pub(super) fn run() -> ! {
    STARTED.store(true, Ordering::Relaxed);
    let cpu = percpu::current_cpu();
    set_work(cpu);
    // SAFETY: the frame of this processor's CpuInfo; nothing on the stack is needed any more.
    unsafe { enter_guests(percpu::guest_frame(cpu)) }
}

/// Lets `vcpu` live on its processor.
pub(crate) fn adopt(vcpu: &Arc<Vcpu>) {
    vcpu.account();
    if let Some(queue) = QUEUES.get(vcpu.processor() as usize) {
        queue.lock().vcpus.push(vcpu.clone());
    }
}

/// `vcpu` has become runnable.
pub(crate) fn wake(vcpu: &Arc<Vcpu>) {
    vcpu.account();
    poke(vcpu);
}

/// Makes the processor of `vcpu` look at it again: whether it may run, what events it has.
pub(crate) fn poke(vcpu: &Vcpu) {
    let cpu = vcpu.processor();
    set_work(cpu);
    if cpu != percpu::current_cpu()
        && let Some((_, apic_id)) = smp::online().find(|&(number, _)| number == cpu)
    {
        apic::send(apic_id, apic::Message::Interrupt(traps::VECTOR_WAKE));
    }
}

/// Makes every processor look for work.
pub(super) fn poke_all() {
    for (cpu, _) in smp::online() {
        set_work(cpu);
    }
    smp::wake_others();
}

/// The timer of the calling processor has fired.
pub(super) fn timer_fired() {
    set_work(percpu::current_cpu());
}

/// A timer of a vCPU on this processor has changed.
pub(crate) fn timers_changed() {
    set_work(percpu::current_cpu());
}

/// Fires what is due of one vCPU's timers. Returns when the next one is, ns.
fn run_timers(vcpu: &Vcpu, domain: &Domain, now: u64) -> u64 {
    let mut fire = false;
    let due = |deadline: &core::sync::atomic::AtomicU64, next: u64| {
        let at = deadline.load(Ordering::Acquire);
        at <= now
            && deadline
                .compare_exchange(at, next, Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
    };
    fire |= due(&vcpu.timer, crate::domain::NEVER);
    let period = vcpu.period.load(Ordering::Relaxed);
    if period != 0 {
        // Ticks that were missed are not made up for.
        fire |= due(&vcpu.next_tick, now.saturating_add(period));
    }
    if fire {
        event::raise_virq(domain, Virq::Timer as u32, vcpu.id());
    }
    if due(&vcpu.poll_deadline, crate::domain::NEVER)
        && event::wait::end(domain, vcpu.id(), &vcpu.run) == Change::BecameRunnable
    {
        set_work(vcpu.processor());
    }
    let tick = if period == 0 {
        crate::domain::NEVER
    } else {
        vcpu.next_tick.load(Ordering::Acquire)
    };
    vcpu.timer
        .load(Ordering::Acquire)
        .min(tick)
        .min(vcpu.poll_deadline.load(Ordering::Acquire))
}

/// Does what waits to be done on this processor, and sees to it that a guest runs if one may. Called with
/// interrupts off; may sleep until there is something to do. The caller looks again.
pub(super) fn work(info: &mut CpuInfo) {
    let cpu = info.cpu;
    let Some(queue) = QUEUES.get(cpu as usize) else {
        return;
    };
    WORK[cpu as usize].store(false, Ordering::SeqCst);
    rendezvous::attend(info);
    console_input::pump(info);
    let now = clock::now_ns();
    let vcpus = queue.lock().vcpus.clone();
    let mut next = watchdog::next_beat().unwrap_or(crate::domain::NEVER);
    for vcpu in &vcpus {
        if let Some(domain) = Domains.find_for(vcpu) {
            next = next.min(run_timers(vcpu, &domain, now));
        }
    }
    if let Some(look) = console_input::next_look(cpu) {
        next = next.min(look);
    }
    let chosen = choose(info, queue, now, &mut next);
    if next != crate::domain::NEVER {
        let delta = next.saturating_sub(now).max(1000);
        apic::arm_timer(
            super::msr::tsc().wrapping_add(clock::ns_to_ticks(delta)),
            delta,
        );
    }
    match chosen {
        Choice::Stay => {}
        Choice::Switch(running) => {
            put_back(info);
            switch::enter(info, running);
        }
        Choice::Idle => {
            put_back(info);
            if !has_work(cpu) {
                interrupts::enable_and_hlt();
                interrupts::disable();
            }
        }
    }
}

/// Says which vCPUs live where.
pub(super) fn report(mut say: impl FnMut(core::fmt::Arguments<'_>)) {
    for ((cpu, _), queue) in smp::online().zip(&QUEUES) {
        // The lock is not held while something is written.
        let vcpus = queue.lock().vcpus.clone();
        say(format_args!("CPU{cpu}: {} vCPUs", vcpus.len()));
        for vcpu in vcpus {
            let (domain, id) = (vcpu.domain().0, vcpu.id().0);
            let is_running = vcpu.run.is_running();
            let is_runnable = vcpu.run.is_runnable();
            say(format_args!(
                "  d{domain}v{id}: {}",
                match (is_running, is_runnable) {
                    (true, _) => "runs",
                    (_, true) => "waits for its turn",
                    _ => "can't run",
                }
            ));
        }
    }
}

enum Choice {
    Stay,
    Switch(Running),
    Idle,
}

fn choose(info: &CpuInfo, queue: &IrqLock<Queue>, now: u64, timer: &mut u64) -> Choice {
    let mut queue = queue.lock();
    let count = queue.vcpus.len();
    let current = info
        .running
        .as_ref()
        .filter(|running| running.vcpu.run.is_runnable());
    let others_wait = |queue: &Queue| {
        queue.vcpus.iter().any(|vcpu| {
            vcpu.run.is_runnable()
                && !info
                    .running
                    .as_ref()
                    .is_some_and(|running| Arc::ptr_eq(&running.vcpu, vcpu))
        })
    };
    if current.is_some() {
        if !others_wait(&queue) {
            return Choice::Stay;
        }
        if now < queue.slice_end {
            *timer = (*timer).min(queue.slice_end);
            return Choice::Stay;
        }
    }
    for step in 0..count {
        let index = (queue.next + step) % count;
        let Some(vcpu) = queue.vcpus.get(index).cloned() else {
            continue;
        };
        if info
            .running
            .as_ref()
            .is_some_and(|running| Arc::ptr_eq(&running.vcpu, &vcpu))
            || !vcpu.run.start_running()
        {
            continue;
        }
        let (Some(context), Some(domain)) = (vcpu.take_context(), Domains.find_for(&vcpu)) else {
            // Somebody looks at its state: its turn comes again.
            let _ = vcpu.run.stop_running();
            set_work(info.cpu);
            continue;
        };
        queue.next = (index + 1) % count;
        queue.slice_end = now + SLICE_NS;
        *timer = (*timer).min(queue.slice_end);
        return Choice::Switch(Running {
            domain,
            vcpu,
            context,
        });
    }
    if current.is_some() {
        Choice::Stay
    } else {
        Choice::Idle
    }
}

/// Takes the vCPU that runs off the processor.
fn put_back(info: &mut CpuInfo) {
    if let Some(running) = switch::leave(info) {
        running.vcpu.put_context(running.context);
        if running.vcpu.run.stop_running() {
            set_work(info.cpu);
        }
        running.vcpu.account();
    }
}

/// System time in ns.
pub(crate) fn now_ns() -> u64 {
    clock::now_ns()
}

/// The calling vCPU gives way to others.
pub(crate) fn yield_now() {
    let cpu = percpu::current_cpu();
    if let Some(queue) = QUEUES.get(cpu as usize) {
        queue.lock().slice_end = 0;
    }
    set_work(cpu);
}

/// Whether long work should stop: something else waits for the processor.
pub(crate) fn should_yield() -> bool {
    has_work(percpu::current_cpu())
}
