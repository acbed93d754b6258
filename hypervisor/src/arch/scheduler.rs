//! The scheduler's decisions, carried out: what a processor does on its way to a guest, and who makes it look.
//!
//! Who runs where is decided behind [`Scheduler`]. Here a processor [asks](work) it, puts one vCPU away and takes
//! up another, or sleeps. Whoever changes something that a processor should see [asks it](ask) to look, which
//! interrupts a guest, ends a sleep, and makes long hypercalls [yield](should_yield).
//!
//! # No wake-up is lost
//!
//! A vCPU becomes runnable by one change of its `RunState`, and who made it calls [`wake`]. It is put into a queue
//! then, or, if a processor still holds it, when that one has put it away (`descheduled` looks at the word again).
//! The queue's processor, or an idle one, is asked; or, if that is the caller's own and nothing is to be decided there yet, has
//! its timer set for when something is. The argument that it looks before it sleeps is in
//! [`crate::sched::attention`], the one about queues in [`crate::sched::credit`]; both are checked by models.
//!
//! An event for a vCPU that is not blocked must interrupt the processor that runs it. The sender sets the pending
//! bit, then reads whether and where the vCPU runs ([`poke`]); the processor claims the vCPU and says where it
//! is, then looks at the pending bit on its way to the guest. All of these are sequentially consistent, so
//! one of the two sees what the other did.
//!
//! # Parking
//!
//! A processor that has nothing else to do than to wait for its vCPU's next event keeps all of it in its registers:
//! page tables, floating point, descriptors. The vCPU stays claimed, so waking it means asking this processor. It is
//! put away as soon as another one runs here, or something else than waiting holds it back.
//!
//! # Translations
//!
//! A processor loads a vCPU's root with a complete flush, after saying that it runs the vCPU, and forgets all of
//! it before the vCPU may run elsewhere. So translations of a vCPU are on the processor that holds it and nowhere
//! else, and a flush that looks where a vCPU is, after changing its tables, misses none: if it moves meanwhile, its
//! new place flushes later than the change.

use super::guest::running::Running;
use super::guest::switch;
use super::percpu::{self, CpuInfo, MAX_CPUS};
use super::{apic, clock, console_input, irq, rendezvous, smp, timers, tlb, traps};
use crate::domain::{Domains, Vcpu};
use crate::sched::credit::{Credit, Parameters, Unit};
use crate::sched::run_state::{Change, PauseError};
use crate::sched::{
    Attention, CpuId, CpuSet, Pick, Poke, Reasons, RunState, SchedError, SchedVcpu, Scheduler,
    SleepTime,
};
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};
use spin::Once;
use x86_64::instructions::interrupts;

/// The scheduler in use.
type Policy = Credit<Arc<Vcpu>>;

static POLICY: Once<Policy> = Once::new();
static ATTENTION: [Own; MAX_CPUS] = [const { Own(Attention::new()) }; MAX_CPUS];
static STARTED: AtomicBool = AtomicBool::new(false);

/// On a cache line of its own: its processor looks at it on every way to a guest.
#[repr(align(64))]
struct Own(Attention);

impl SchedVcpu<Unit> for Arc<Vcpu> {
    fn run_state(&self) -> &RunState {
        &self.run
    }

    fn unit(&self) -> &Unit {
        &self.unit
    }
}

unsafe extern "C" {
    fn enter_guests(frame: u64) -> !;
}

fn policy() -> &'static Policy {
    POLICY.call_once(|| {
        let cpus = smp::online().map(|(cpu, _)| cpu + 1).max().unwrap_or(1);
        let Ok(policy) = Policy::new(cpus, Parameters::DEFAULT) else {
            super::death::die(format_args!("no memory for the scheduler"), None)
        };
        for (cpu, _) in smp::online() {
            policy.set_online(CpuId(cpu), true, &mut |_| {});
        }
        policy
    })
}

pub(super) fn attention(cpu: u32) -> &'static Attention {
    // Numbers are those of processors that exist.
    &ATTENTION.get(cpu as usize).unwrap_or(&ATTENTION[0]).0
}

/// Whether processors run vCPUs yet.
pub(super) fn is_started() -> bool {
    STARTED.load(Ordering::Relaxed)
}

/// Whether long work should stop: something else waits for the processor.
#[inline]
pub(crate) fn should_yield() -> bool {
    // Hypercalls ask between any two pieces, and run on their processor's stack.
    ATTENTION[percpu::cpu_of_stack()].0.is_asked()
}

/// Makes a processor look.
pub(super) fn ask(cpu: CpuId, why: Reasons) {
    if attention(cpu.0).ask(why)
        && cpu.0 != percpu::current_cpu()
        && let Some(apic_id) = smp::apic_id(cpu.0)
    {
        apic::send(apic_id, apic::Message::Interrupt(traps::VECTOR_WAKE));
    }
}

fn follow(Poke(cpu): Poke) {
    if let Some(cpu) = cpu {
        ask(cpu, Reasons::PICK);
    }
}

/// From now on the calling processor runs vCPUs.
pub(super) fn run() -> ! {
    STARTED.store(true, Ordering::Relaxed);
    let cpu = percpu::current_cpu();
    interrupts::disable();
    ask(CpuId(cpu), Reasons::PICK | Reasons::TIMER);
    // SAFETY: the frame of this processor's CpuInfo; nothing on the stack is needed any more.
    unsafe { enter_guests(percpu::guest_frame(cpu)) }
}

/// Takes on a new vCPU, which is down and may run on the processors of `affinity`.
pub(crate) fn add(vcpu: &Arc<Vcpu>, affinity: CpuSet) -> Result<(), SchedError> {
    let first = affinity
        .iter()
        .find(|cpu| smp::apic_id(cpu.0).is_some())
        .ok_or(SchedError::NoCpu)?;
    timers::register(vcpu, first.0).map_err(|_| SchedError::OutOfMemory)?;
    policy()
        .add(vcpu, affinity)
        .inspect_err(|_| timers::unregister(vcpu))
}

/// Follows a change of a vCPU's run state.
pub(crate) fn follow_change(vcpu: &Arc<Vcpu>, change: Change) {
    match change {
        Change::BecameRunnable => wake(vcpu),
        Change::BecameIdle => {
            let now = clock::now_ns();
            vcpu.account(now);
            follow(policy().sleep(vcpu, now));
        }
        Change::None => {}
    }
}

/// `vcpu` has become runnable.
pub(crate) fn wake(vcpu: &Arc<Vcpu>) {
    let now = clock::now_ns();
    vcpu.account(now);
    match policy().wake(vcpu, now) {
        // Held by a processor: parked, or about to be put away.
        Poke(None) if vcpu.run.is_running() => ask(CpuId(vcpu.processor()), Reasons::PICK),
        Poke(Some(cpu)) if cpu.0 == percpu::current_cpu() => match policy().settled_until(cpu) {
            // What runs here goes on until then: there is nothing to decide yet.
            then_ns if then_ns > now => timers::look_at(then_ns),
            _ => ask(cpu, Reasons::PICK),
        },
        poke => follow(poke),
    }
}

/// Makes the processor that runs `vcpu`, if one does, look at its events.
pub(crate) fn poke(vcpu: &Vcpu) {
    if vcpu.run.is_running() {
        ask(CpuId(vcpu.processor()), Reasons::EVENT);
    }
}

/// Makes every processor look for work.
pub(super) fn poke_all() {
    for (cpu, _) in smp::online() {
        ask(CpuId(cpu), Reasons::PICK);
    }
}

/// Pauses a vCPU. A processor may hold it for a moment yet.
pub(crate) fn pause(vcpu: &Arc<Vcpu>) -> Result<(), PauseError> {
    let change = vcpu.run.pause()?;
    follow_change(vcpu, change);
    if vcpu.run.is_running() {
        // Parked, it was not runnable before either.
        ask(CpuId(vcpu.processor()), Reasons::PICK);
    }
    Ok(())
}

/// Ends a pause of a vCPU.
pub(crate) fn unpause(vcpu: &Arc<Vcpu>) -> Result<(), PauseError> {
    let change = vcpu.run.unpause()?;
    follow_change(vcpu, change);
    Ok(())
}

/// Forgets a vCPU, which no processor holds and none will.
pub(crate) fn remove(vcpu: &Arc<Vcpu>) {
    policy().remove(vcpu, clock::now_ns());
    timers::unregister(vcpu);
}

/// Follows what taking a vCPU down has changed.
pub(crate) fn follow_down(vcpu: &Arc<Vcpu>, change: Change) {
    follow_change(vcpu, change);
    if vcpu.run.is_running() {
        ask(CpuId(vcpu.processor()), Reasons::PICK);
    }
}

/// Where a vCPU may run.
pub(crate) fn affinity(vcpu: &Arc<Vcpu>) -> CpuSet {
    policy().affinity(vcpu)
}

/// Says where a vCPU may run.
pub(crate) fn set_affinity(vcpu: &Arc<Vcpu>, affinity: CpuSet) -> Result<(), SchedError> {
    follow(policy().set_affinity(vcpu, affinity, clock::now_ns())?);
    Ok(())
}

/// Where a vCPU should run, if it can be had.
pub(crate) fn soft_affinity(vcpu: &Arc<Vcpu>) -> CpuSet {
    policy().soft_affinity(vcpu)
}

/// Says where a vCPU should run.
pub(crate) fn set_soft_affinity(vcpu: &Arc<Vcpu>, affinity: &CpuSet) {
    policy().set_soft_affinity(vcpu, affinity);
}

/// What is set of the scheduler.
pub(crate) fn parameters() -> Parameters {
    policy().parameters()
}

/// Sets it.
pub(crate) fn set_parameters(wish: Parameters) {
    policy().set_parameters(wish);
}

/// The timer of the calling processor has fired.
pub(super) fn timer_fired() {
    timers::fired();
    ask(CpuId(percpu::current_cpu()), Reasons::TIMER);
}

/// The calling vCPU gives way to others.
pub(crate) fn yield_now() {
    let cpu = CpuId(percpu::current_cpu());
    policy().yield_now(cpu);
    ask(cpu, Reasons::PICK);
}

/// The calling vCPU waits from now on.
pub(crate) fn sleep_now() {
    ask(CpuId(percpu::current_cpu()), Reasons::PICK);
}

/// The calling processor looks for work before its guest goes on.
pub(crate) fn look_again() {
    ask(CpuId(percpu::current_cpu()), Reasons::PICK);
}

/// For how long each processor has slept.
static SLEPT: [SleepTime; MAX_CPUS] = [const { SleepTime::new() }; MAX_CPUS];

/// For how long processor `cpu` has slept, in ns.
pub(crate) fn idle_ns(cpu: u32) -> u64 {
    SLEPT
        .get(cpu as usize)
        .map_or(0, |slept| slept.ns(clock::now_ns()))
}

/// System time in ns.
pub(crate) fn now_ns() -> u64 {
    clock::now_ns()
}

/// Does what waits to be done on this processor, and sees to it that a guest runs if one may. Called with
/// interrupts off; may sleep until there is something to do. The caller looks again.
pub(super) fn work(info: &mut CpuInfo) {
    let why = attention(info.cpu).take();
    if info.running.is_some() && why == Reasons::EVENT {
        // The way to the guest looks at its events anyway.
        return;
    }
    if why.contains(Reasons::TIMER) {
        let now = clock::now_ns();
        irq::wake_due(now);
        let running = info.running.as_ref();
        timers::expire(now, running.map(|running| &running.vcpu));
        // Whom that has woken is looked at below. So is all else that has been asked for; and who has set a timer meanwhile did
        // so before this processor arms its own.
        let _ = attention(info.cpu).take();
    }
    rendezvous::attend(info);
    console_input::pump(info);
    let now = clock::now_ns();
    let current = info.running.as_ref().or(info.parked.as_ref());
    let decision = policy().pick_next(CpuId(info.cpu), now, current.map(|running| &running.vcpu));
    follow(decision.poke);
    match decision.pick {
        Pick::Stay => {
            if let Some(running) = info.parked.take() {
                switch::unpark(info, running, now);
            }
        }
        Pick::Switch(vcpu) => switch_to(info, vcpu, now),
        Pick::Idle => go_idle(info, now),
    }
    timers::arm(
        decision.until_ns,
        console_input::next_look(info.cpu),
        irq::next_wake_ns(),
    );
    if info.running.is_none() && !info.has_work() {
        let slept = SLEPT.get(info.cpu as usize);
        if let Some(slept) = slept {
            slept.begin(clock::now_ns());
        }
        interrupts::enable_and_hlt();
        interrupts::disable();
        if let Some(slept) = slept {
            slept.end(clock::now_ns());
        }
    }
}

/// Says which vCPUs are where.
pub(super) fn report(mut say: impl FnMut(core::fmt::Arguments<'_>)) {
    for domain in Domains.all() {
        for vcpu in domain.vcpus() {
            say(format_args!(
                "d{}v{}: {} CPU{}, may run on {:?}",
                domain.id().0,
                vcpu.id().0,
                match (vcpu.run.is_running(), vcpu.run.is_runnable()) {
                    (true, true) => "runs on",
                    (true, false) => "is parked on",
                    (false, true) => "waits for its turn, was on",
                    (false, false) => "can't run, was on",
                },
                vcpu.processor(),
                affinity(vcpu).intersection(&processors()),
            ));
        }
    }
}

/// Processors that run vCPUs.
pub(crate) fn processors() -> CpuSet {
    let mut set = CpuSet::EMPTY;
    for (cpu, _) in smp::online() {
        set.insert(CpuId(cpu));
    }
    set
}

/// Puts away what the processor has, and takes up `vcpu`, which is claimed for it.
fn switch_to(info: &mut CpuInfo, vcpu: Arc<Vcpu>, now_ns: u64) {
    let Some(domain) = vcpu.owner() else {
        unreachable!("a vCPU that may run, of a domain that is gone");
    };
    let Some(context) = vcpu.take_context() else {
        // Somebody looks at its state: its turn comes again, and soon. What is here may be what can't go on. Others
        // may wait for this processor meanwhile.
        release(info.cpu, &vcpu, now_ns);
        tlb::flush_asked();
        let current = info.running.as_ref();
        if current.is_some_and(|running| !running.vcpu.run.is_runnable()) {
            go_idle(info, now_ns);
        }
        ask(CpuId(info.cpu), Reasons::PICK);
        return;
    };
    let before = switch::save(info, now_ns);
    let running = Running {
        domain,
        vcpu,
        context,
    };
    switch::enter(info, before.as_ref(), running, now_ns);
    // Not before nothing of it is in use here.
    if let Some(before) = before {
        put_away(info.cpu, before, now_ns);
    }
}

/// Nothing is to run: parks the vCPU that the processor has, or puts it away.
fn go_idle(info: &mut CpuInfo, now_ns: u64) {
    let Some(running) = info.running.as_ref().or(info.parked.as_ref()) else {
        return;
    };
    let vcpu = &running.vcpu;
    if vcpu.run.is_only_blocked() && policy().affinity(vcpu).contains(CpuId(info.cpu)) {
        if let Some(running) = info.running.take() {
            info.parked = Some(switch::park(running, now_ns));
        }
        return;
    }
    if let Some(before) = switch::save(info, now_ns) {
        switch::load_nobody(info);
        put_away(info.cpu, before, now_ns);
    }
}

/// Gives back a vCPU of which the processor holds nothing any more.
fn put_away(cpu: u32, running: Running, now_ns: u64) {
    let vcpu = running.vcpu;
    vcpu.put_context(running.context);
    release(cpu, &vcpu, now_ns);
}

fn release(cpu: u32, vcpu: &Arc<Vcpu>, now_ns: u64) {
    follow(policy().descheduled(CpuId(cpu), vcpu, now_ns));
    vcpu.account(now_ns);
}
