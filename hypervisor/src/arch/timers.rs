//! Timers of vCPUs and domains, and the processor's own timer behind them.
//!
//! Each processor has a queue of what is due when, and keeps its local APIC timer armed for the first of it, for
//! the end of the slice of the vCPU that runs, and for the watchdog. A vCPU has one entry, for the next of the
//! timers that it has set, in the queue of the processor that runs it or ran it last: it moves along when the vCPU does, so
//! that a timer interrupts the processor that has to raise the guest's interrupt. The periodic timer, which every turn of a
//! vCPU starts and stops, is noted beside the queue. Queues have room for every
//! vCPU and watchdog there is, so setting and moving them never needs memory; it is made before there is one more, with
//! no lock held ([`growth`]).
//!
//! Only the way to a guest ([`expire`]) looks at queues, never the interrupt's handler: what a hypercall has
//! begun before its end, a poll with a time limit say, is complete when its timer is looked at.
//!
//! Locks: a vCPU's timers, then a queue; never two queues. All with interrupts off.

use super::percpu::{self, MAX_CPUS};
use super::{apic, clock, scheduler, watchdog};
use crate::domain::{Domain, Vcpu};
use crate::event::{self, wait};
use crate::growth::{self, OutOfMemory};
use crate::lock::{InterruptsOff, IrqLock};
use crate::sched::run_state::Change;
use crate::sched::{CpuId, Reasons};
use crate::sync::rank;
use crate::time::queue::{NoRoom, TimerId, TimerQueue};
use crate::time::vcpu_timers::{Due, VcpuTimers};
use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use guest_abi::event_channel::Virq;
use guest_abi::sched_op::ShutdownReason;

/// Never.
const NEVER: u64 = u64::MAX;
/// The shortest time for which the processor's timer is armed, in nanoseconds.
const SHORTEST_NS: u64 = 1000;

/// What an entry is about.
#[derive(Clone)]
enum Entry {
    /// The next of a vCPU's timers.
    Vcpu(Arc<Vcpu>),
    /// A domain's watchdog.
    Watchdog(Weak<Domain>),
}

static QUEUES: [IrqLock<TimerQueue<Entry>>; MAX_CPUS] =
    [const { IrqLock::new(TimerQueue::new()) }; MAX_CPUS];
/// Entries for which every queue has room.
static ROOM: AtomicUsize = AtomicUsize::new(0);
/// When the periodic timer of the vCPU that each processor runs is due: every turn starts and stops that, and a queue would be
/// dearer. Written with the lock of that vCPU's timers held.
static TICKS: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(NEVER) }; MAX_CPUS];
/// For when each processor's timer is armed; touched by that processor alone.
static ARMED: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(NEVER) }; MAX_CPUS];

/// Where an entry is.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    cpu: u32,
    id: TimerId,
}

/// A vCPU's timers, and its entry.
pub(crate) struct Timers {
    timers: VcpuTimers,
    place: Option<Place>,
    /// What the entry is set to.
    set_to: Option<u64>,
    /// What its processor knows of the periodic one.
    tick: Option<u64>,
}

impl Timers {
    /// Those of a new vCPU.
    pub(crate) const fn new() -> Self {
        Self {
            timers: VcpuTimers::new(),
            place: None,
            set_to: None,
            tick: None,
        }
    }

    /// For a person to read: the timers, and which processor looks after them.
    pub(super) fn state(&self) -> (VcpuTimers, Option<u32>) {
        (self.timers, self.place.map(|place| place.cpu))
    }

    /// Sets the entry to what is due next, and tells the processor that runs the vCPU of its tick.
    fn settle(&mut self) {
        let Some(place) = self.place else { return };
        let tick = self.timers.next_tick_ns();
        if tick != self.tick {
            self.tick = tick;
            if let Some(shown) = TICKS.get(place.cpu as usize) {
                shown.store(tick.unwrap_or(NEVER), Ordering::Relaxed);
            }
            if let Some(tick_ns) = tick {
                see_to(place.cpu, tick_ns);
            }
        }
        let next = self.timers.next_set_ns();
        if next != self.set_to {
            self.set_to = next;
            set(place, next);
        }
    }
}

fn queue(cpu: u32) -> &'static IrqLock<TimerQueue<Entry>> {
    // Numbers are those of processors that exist; another would be a mistake of ours and stay without harm.
    QUEUES.get(cpu as usize).unwrap_or(&QUEUES[0])
}

/// Sets an entry, and sees to it that its processor's timer fires in time.
fn set(place: Place, deadline_ns: Option<u64>) {
    let mut queue = queue(place.cpu).lock();
    let Some(deadline_ns) = deadline_ns else {
        queue.cancel(place.id);
        return;
    };
    queue.set(place.id, deadline_ns);
    drop(queue);
    see_to(place.cpu, deadline_ns);
}

/// Sees to it that a processor's timer fires in time.
fn see_to(cpu: u32, deadline_ns: u64) {
    if cpu == percpu::current_cpu() {
        arm_for(deadline_ns);
    } else {
        scheduler::ask(CpuId(cpu), Reasons::TIMER);
    }
}

/// Makes room for so many more entries in every queue.
pub(crate) fn make_room(entries: usize) -> Result<(), OutOfMemory> {
    let room = ROOM.fetch_add(entries, Ordering::Relaxed) + entries;
    let made = QUEUES.iter().try_for_each(|queue| {
        growth::make_room::<TimerQueue<Entry>>(room, |action| action(&mut queue.lock()))
    });
    if made.is_err() {
        ROOM.fetch_sub(entries, Ordering::Relaxed);
    }
    made
}

/// So many entries will never be needed again.
pub(crate) fn return_room(entries: usize) {
    ROOM.fetch_sub(entries, Ordering::Relaxed);
}

/// Takes the entry from a vCPU that runs no more.
pub(super) fn unregister(vcpu: &Vcpu) {
    let mut locked = vcpu.timers.lock();
    if let Some(place) = locked.place.take() {
        queue(place.cpu).lock().unregister(place.id);
        return_room(1);
    }
}

/// Gives a new vCPU its entry, with processor `cpu` for the time being.
pub(super) fn register(vcpu: &Arc<Vcpu>, cpu: u32) -> Result<(), OutOfMemory> {
    make_room(1)?;
    let registered = queue(cpu).lock().register(Entry::Vcpu(vcpu.clone()));
    let id = registered.map_err(|NoRoom| {
        return_room(1);
        OutOfMemory
    })?;
    vcpu.timers.lock().place = Some(Place { cpu, id });
    Ok(())
}

/// Changes a vCPU's timers by `change`, and does what that makes due.
pub(crate) fn change<R>(vcpu: &Vcpu, change: impl FnOnce(&mut VcpuTimers) -> R) -> R {
    let mut locked = vcpu.timers.lock();
    let result = change(&mut locked.timers);
    locked.settle();
    result
}

/// The vCPU begins to run on the calling processor: its entry comes along.
pub(super) fn begin_running(vcpu: &Arc<Vcpu>, now_ns: u64) {
    let cpu = percpu::current_cpu();
    let mut locked = vcpu.timers.lock();
    if let Some(place) = locked.place
        && place.cpu != cpu
    {
        queue(place.cpu).lock().unregister(place.id);
        locked.set_to = None;
        let moved = queue(cpu).lock().register(Entry::Vcpu(vcpu.clone()));
        debug_assert!(moved.is_ok(), "every queue has room for every vCPU");
        locked.place = moved.ok().map(|id| Place { cpu, id });
    }
    let due = locked.timers.begin_running(now_ns);
    locked.settle();
    drop(locked);
    act(vcpu, due);
}

/// The vCPU ceases to run.
pub(super) fn stop_running(vcpu: &Vcpu) {
    change(vcpu, VcpuTimers::stop_running);
}

/// Raises what is due.
pub(crate) fn act(vcpu: &Vcpu, due: Due) {
    if due == Due::default() {
        return;
    }
    let Some(domain) = vcpu.owner() else { return };
    if due.interrupt {
        event::raise_virq(&*domain, Virq::Timer as u32, vcpu.id());
    }
    if due.poll
        && let Some(vcpu) = domain.vcpu(vcpu.id())
        && wait::end(&*domain, vcpu.id(), &vcpu.run) == Change::BecameRunnable
    {
        scheduler::wake(vcpu);
    }
}

/// Does all that is due on the calling processor, which is on its way to a guest with interrupts off and has `running`.
pub(super) fn expire(now_ns: u64, running: Option<&Arc<Vcpu>>) {
    let cpu = percpu::current_cpu();
    if let Some(vcpu) = running
        && tick_of(cpu) <= now_ns
    {
        let due = change(vcpu, |timers| timers.expire(now_ns));
        act(vcpu, due);
    }
    loop {
        let Some((id, entry)) = queue(cpu).lock().expire(now_ns) else {
            return;
        };
        match entry {
            Entry::Vcpu(vcpu) => {
                let mut locked = vcpu.timers.lock();
                // It may have moved away at this moment, with what is due.
                if locked.place != Some(Place { cpu, id }) {
                    continue;
                }
                locked.set_to = None;
                let due = locked.timers.expire(now_ns);
                locked.settle();
                drop(locked);
                act(&vcpu, due);
            }
            Entry::Watchdog(domain) => {
                if let Some(domain) = domain.upgrade() {
                    domain.shutdown(ShutdownReason::Watchdog as u8);
                }
            }
        }
    }
}

/// When the tick is due of the vCPU that processor `cpu` runs.
fn tick_of(cpu: u32) -> u64 {
    TICKS
        .get(cpu as usize)
        .map_or(NEVER, |tick| tick.load(Ordering::Relaxed))
}

/// The calling processor's timer has fired.
pub(super) fn fired() {
    if let Some(armed) = ARMED.get(percpu::current_cpu() as usize) {
        armed.store(NEVER, Ordering::Relaxed);
    }
}

/// Sees to it that the calling processor looks for work at `deadline_ns`, or before.
pub(super) fn look_at(deadline_ns: u64) {
    let _off = InterruptsOff::new();
    arm_for(deadline_ns);
}

/// Arms the calling processor's timer for all that it looks after, for the end of what the scheduler has
/// decided, and for when it looks at its line and at sources of interrupts.
pub(super) fn arm(slice_end_ns: Option<u64>, look_ns: Option<u64>, wake_ns: Option<u64>) {
    let cpu = percpu::current_cpu();
    let never = |at: Option<u64>| at.unwrap_or(NEVER);
    let first = queue(cpu).lock().next_deadline();
    let first = never(first)
        .min(tick_of(cpu))
        .min(never(watchdog::next_beat()));
    let look = never(look_ns).min(never(wake_ns));
    arm_for(first.min(look).min(never(slice_end_ns)));
}

/// Arms the timer for `deadline_ns`, unless it fires before that anyway. Interrupts are off.
fn arm_for(deadline_ns: u64) {
    let Some(armed) = ARMED.get(percpu::current_cpu() as usize) else {
        return;
    };
    if armed.load(Ordering::Relaxed) <= deadline_ns {
        return;
    }
    armed.store(deadline_ns, Ordering::Relaxed);
    let delta = deadline_ns.saturating_sub(clock::now_ns()).max(SHORTEST_NS);
    apic::arm_timer(clock::tsc_at(deadline_ns), delta);
}

/// A domain's watchdogs.
pub(crate) struct Watchdogs(IrqLock<[Option<Place>; Self::COUNT], { rank::TIMERS }>);

/// Why a watchdog is not set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum WatchdogError {
    /// There is none with this number.
    NotThere,
    /// All are in use.
    AllInUse,
    /// No memory.
    OutOfMemory,
}

impl Watchdogs {
    /// How many a domain may have. There is room for their entries in every queue while there is the domain.
    pub(crate) const COUNT: usize = 2;

    /// None.
    pub(crate) const fn new() -> Self {
        Self(IrqLock::new([None; Self::COUNT]))
    }

    /// Sets a new one of `domain` to bark at `deadline_ns`. Returns its number, from 1.
    pub(crate) fn create(
        &self,
        domain: &Arc<Domain>,
        deadline_ns: u64,
    ) -> Result<u32, WatchdogError> {
        let mut places = self.0.lock();
        let (number, free) = (1u32..)
            .zip(places.iter_mut())
            .find(|(_, place)| place.is_none())
            .ok_or(WatchdogError::AllInUse)?;
        let place = Self::place(domain)?;
        *free = Some(place);
        set(place, Some(deadline_ns));
        Ok(number)
    }

    /// A place with the calling processor.
    fn place(domain: &Arc<Domain>) -> Result<Place, WatchdogError> {
        let cpu = percpu::current_cpu();
        let id = queue(cpu)
            .lock()
            .register(Entry::Watchdog(Arc::downgrade(domain)))
            .map_err(|NoRoom| WatchdogError::OutOfMemory)?;
        Ok(Place { cpu, id })
    }

    /// Removes all, with the room that there was for them: there will be none.
    pub(crate) fn remove_all(&self) {
        for place in self.0.lock().iter_mut().filter_map(Option::take) {
            queue(place.cpu).lock().unregister(place.id);
        }
        return_room(Self::COUNT);
    }

    /// Sets the one with this number anew, or removes it. The calling processor sees to it from then on: if another one had
    /// to be told, a guest could keep that from all other work by setting it again and again.
    pub(crate) fn set(
        &self,
        domain: &Arc<Domain>,
        number: u32,
        deadline_ns: Option<u64>,
    ) -> Result<(), WatchdogError> {
        let mut places = self.0.lock();
        let slot = (number as usize)
            .checked_sub(1)
            .and_then(|index| places.get_mut(index))
            .ok_or(WatchdogError::NotThere)?;
        let place = (*slot).ok_or(WatchdogError::NotThere)?;
        let next = match deadline_ns {
            Some(_) if place.cpu == percpu::current_cpu() => {
                set(place, deadline_ns);
                return Ok(());
            }
            Some(_) => Some(Self::place(domain)?),
            None => None,
        };
        *slot = next;
        queue(place.cpu).lock().unregister(place.id);
        if let Some(place) = next {
            set(place, deadline_ns);
        }
        Ok(())
    }
}
