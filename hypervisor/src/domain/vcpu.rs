//! A virtual processor.

use super::context::Context;
use super::domains::Domain;
use super::history::History;
use crate::arch::FpuArea;
use crate::arch::shared::{AtomicPlace, VcpuInfoPlace};
use crate::arch::timers::Timers;
use crate::arch::{clock, scheduler};
use crate::lock::IrqLock;
use crate::sched::CpuSet;
use crate::sched::credit::Unit;
use crate::sched::run_state::{Change, RunState};
use crate::sched::setup::{Found, NotSetUp, Setup};
use crate::sync::rank;
use crate::time::guest_clock::{AreaFault, Version, VersionedArea};
use crate::time::runstate::Runstate;
use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use guest_abi::ids::{Mfn, Vaddr, VcpuId};
use guest_abi::shared_info::LEGACY_MAX_VCPUS;
use guest_abi::time::VcpuTimeInfo;

/// What others may touch of a vCPU while it runs, and its context while it does not.
pub(crate) struct Vcpu {
    id: VcpuId,
    owner: Weak<Domain>,
    /// Whether it may run, and why not.
    pub(crate) run: RunState,
    /// Its state; `None` while a processor runs it and holds the state.
    context: IrqLock<Option<Box<Context>>>,
    /// Place of its `vcpu_info`. Its frame stays referenced while this vCPU exists.
    info: AtomicPlace,
    /// Whether the guest has registered a place of its own.
    has_own_info: AtomicBool,
    /// Its guest is giving it one, or has done so: only one place is ever taken.
    is_info_claimed: AtomicBool,
    /// Whether it has a context.
    setup: Setup,
    /// A non-maskable interrupt waits for it.
    nmi_pending: AtomicBool,
    /// It is paused because its domain has ended.
    is_paused_for_shutdown: AtomicBool,
    /// The processor that runs it or ran it last.
    processor: AtomicU32,
    /// Its timers.
    pub(crate) timers: IrqLock<Timers, { rank::TIMERS }>,
    /// What the scheduler keeps of it.
    pub(crate) unit: Unit,
    /// Where it may run when its pin to one processor is taken off. Taken before a run queue.
    pub(crate) overridden_affinity: IrqLock<Option<CpuSet>, { rank::AFFINITY_OVERRIDE }>,
    /// Its floating-point state while it does not run.
    pub(crate) fpu: FpuArea,
    /// What it has done last.
    pub(crate) history: History,
    /// How long it has been doing what.
    runstate: IrqLock<Runstate>,
    /// Where the guest wants to see `runstate`: an address of its kernel, 0 for nowhere.
    runstate_area: AtomicU64,
    /// Where the guest wants a second copy of the clock, as `runstate_area`.
    clock_area: AtomicU64,
    /// What has been published of the clock.
    clock: IrqLock<PublishedClock>,
}

/// Versions of the clock in the guest's areas.
#[derive(Default)]
struct PublishedClock {
    info: Version,
    area: Version,
}

impl Vcpu {
    /// A vCPU that is down, with `vcpu_info` at `info`.
    pub(crate) fn new(id: VcpuId, owner: &Arc<Domain>, info: VcpuInfoPlace) -> Self {
        Self {
            id,
            owner: Arc::downgrade(owner),
            run: RunState::down(),
            context: IrqLock::new(None),
            info: AtomicPlace::new(info.0),
            has_own_info: AtomicBool::new(false),
            is_info_claimed: AtomicBool::new(false),
            setup: Setup::new(),
            nmi_pending: AtomicBool::new(false),
            is_paused_for_shutdown: AtomicBool::new(false),
            processor: AtomicU32::new(0),
            timers: IrqLock::new(Timers::new()),
            unit: Unit::new(owner.share.clone()),
            overridden_affinity: IrqLock::new(None),
            fpu: FpuArea::new(),
            history: History::new(),
            runstate: IrqLock::new(Runstate::new(scheduler::now_ns())),
            runstate_area: AtomicU64::new(0),
            clock_area: AtomicU64::new(0),
            clock: IrqLock::new(PublishedClock::default()),
        }
    }

    pub(crate) const fn id(&self) -> VcpuId {
        self.id
    }

    /// Its `vcpu_info`.
    pub(crate) fn info(&self) -> VcpuInfoPlace {
        VcpuInfoPlace(self.info.get())
    }

    /// Moves the `vcpu_info`. `false` if the guest has done so before.
    pub(crate) fn set_info(&self, place: VcpuInfoPlace) -> bool {
        if self.is_info_claimed.swap(true, Ordering::AcqRel) {
            return false;
        }
        self.info.set(place.0);
        // Not before: who sees it may run on that place.
        self.has_own_info.store(true, Ordering::Release);
        true
    }

    /// Takes the context to run it or to look at it. `None` while somebody else has it.
    pub(crate) fn take_context(&self) -> Option<Box<Context>> {
        self.context.lock().take()
    }

    /// Gives the context back.
    pub(crate) fn put_context(&self, context: Box<Context>) {
        *self.context.lock() = Some(context);
    }

    /// Shows the context, unless somebody has taken it.
    pub(crate) fn with_resting_context(&self, look: impl FnOnce(&Context)) {
        if let Some(context) = self.context.lock().as_deref() {
            look(context);
        }
    }

    /// Frames on which it holds a writable reference.
    pub(crate) fn held_frames(&self) -> impl Iterator<Item = Mfn> {
        let own_info = self.has_own_info().then(|| self.info().0.mfn());
        own_info.into_iter()
    }

    /// Sets the context up for the first time. Gives it back if it was before. `prepare` does what the vCPU's
    /// first turn must find done: of several who try at once only one comes to that, and the vCPU can't run
    /// before it returns.
    pub(crate) fn initialise(
        &self,
        context: Box<Context>,
        prepare: impl FnOnce(&Context),
    ) -> Result<(), Box<Context>> {
        if !self.setup.claim() {
            return Err(context);
        }
        prepare(&context);
        self.put_context(context);
        self.setup.finish();
        Ok(())
    }

    /// Whether its guest sees its `vcpu_info`: of itself, or because it has registered a place. It runs only then.
    pub(crate) fn has_info(&self) -> bool {
        self.id.0 < LEGACY_MAX_VCPUS as u32 || self.has_own_info()
    }

    /// Whether the guest has registered a place of its own for `vcpu_info`.
    pub(crate) fn has_own_info(&self) -> bool {
        self.has_own_info.load(Ordering::Acquire)
    }

    /// Nobody may bring it up any more. Who closes it takes it down then.
    pub(crate) fn close(&self) -> Found {
        self.setup.close()
    }

    /// The state of a closed one is gone: somebody may set it up.
    pub(super) fn forget_state(&self) {
        self.forget_wishes();
        self.setup.forget();
    }

    /// Forgets what others can ask of it whether it has a state or not.
    pub(crate) fn forget_wishes(&self) {
        self.nmi_pending.store(false, Ordering::Release);
        self.runstate_area.store(0, Ordering::Relaxed);
        self.clock_area.store(0, Ordering::Relaxed);
    }

    /// Has `vcpu_info` at `info` from now on. Returns the frame of the place that the guest had registered for that,
    /// on which a writable reference is held. Not while the guest may register one.
    pub(super) fn forget_info(&self, info: VcpuInfoPlace) -> Option<Mfn> {
        let was = self.info();
        self.info.set(info.0);
        let had_own = self.has_own_info.swap(false, Ordering::AcqRel);
        self.is_info_claimed.store(false, Ordering::Release);
        had_own.then(|| was.0.mfn())
    }

    /// Notes that its domain's end pauses it. `false` if that was noted before.
    pub(crate) fn pause_for_shutdown(&self) -> bool {
        !self.is_paused_for_shutdown.swap(true, Ordering::AcqRel)
    }

    /// Whether its domain's end pauses it, which is over.
    pub(crate) fn take_paused_for_shutdown(&self) -> bool {
        self.is_paused_for_shutdown.swap(false, Ordering::AcqRel)
    }

    /// Whether a processor runs it, or is about to put it away. One that waits for its event with its state in a
    /// processor does not run.
    pub(crate) fn is_on_processor(&self) -> bool {
        self.run.is_running() && !self.run.is_only_blocked()
    }

    /// For how long it has run, in ns.
    pub(crate) fn cpu_time_ns(&self, now_ns: u64) -> u64 {
        let sums = self.runstate().sums_at(now_ns);
        sums.get(guest_abi::time::RunState::Running as usize)
            .copied()
            .unwrap_or(0)
    }

    /// Sends it a non-maskable interrupt. If it runs, its processor is to look.
    pub(crate) fn send_nmi(&self) {
        self.nmi_pending.store(true, Ordering::SeqCst);
    }

    /// Whether a non-maskable interrupt waits.
    pub(crate) fn has_nmi(&self) -> bool {
        self.nmi_pending.load(Ordering::SeqCst)
    }

    /// Takes the non-maskable interrupt that waits.
    pub(crate) fn take_nmi(&self) -> bool {
        self.nmi_pending.swap(false, Ordering::AcqRel)
    }

    /// Brings it up, if it has a context. The scheduler is to hear of what that changes.
    pub(crate) fn bring_up(&self) -> Result<Change, NotSetUp> {
        self.setup.bring_up(&self.run)
    }

    pub(crate) fn is_initialised(&self) -> bool {
        self.setup.is_done()
    }

    /// The processor that runs it or ran it last.
    pub(crate) fn processor(&self) -> u32 {
        self.processor.load(Ordering::SeqCst)
    }

    /// Processor `cpu` has claimed it and is about to run it.
    pub(crate) fn set_processor(&self, cpu: u32) {
        self.processor.store(cpu, Ordering::SeqCst);
    }

    /// Its domain, unless that is gone.
    pub(crate) fn owner(&self) -> Option<Arc<Domain>> {
        self.owner.upgrade()
    }

    /// Enters in its account what it does from now on. Called after every change of `run`: whoever comes last
    /// sees the final state.
    pub(crate) fn account(&self, now_ns: u64) {
        let mut account = self.runstate.lock();
        account.change(self.run.activity(), now_ns);
    }

    /// Enters in its account what it will be doing when the processor has put it away.
    pub(crate) fn account_as_stopped(&self, now_ns: u64) {
        let mut account = self.runstate.lock();
        account.change(self.run.activity_when_stopped(), now_ns);
    }

    /// Its account now.
    pub(crate) fn runstate(&self) -> Runstate {
        *self.runstate.lock()
    }

    /// Where the guest wants its account, by an address of its kernel.
    pub(crate) fn runstate_area(&self) -> Option<Vaddr> {
        registered(&self.runstate_area)
    }

    pub(crate) fn set_runstate_area(&self, at: Vaddr) {
        self.runstate_area.store(at.0, Ordering::Relaxed);
    }

    /// Where the guest wants its clock once more, by an address of its kernel.
    pub(crate) fn clock_area(&self) -> Option<Vaddr> {
        registered(&self.clock_area)
    }

    pub(crate) fn set_clock_area(&self, at: Vaddr) {
        self.clock_area.store(at.0, Ordering::Relaxed);
    }

    /// Writes the clock into the `vcpu_info`, if it has one that is its own.
    pub(crate) fn publish_clock(&self) {
        if self.has_info() {
            let time = clock::vcpu_time();
            // The hypervisor's own mapping of the frame does not fault.
            let _ = self.clock.lock().info.publish(&self.info(), &time);
        }
    }

    /// Writes the clock into the second area.
    pub(crate) fn publish_clock_to(
        &self,
        area: &impl VersionedArea<VcpuTimeInfo>,
    ) -> Result<(), AreaFault> {
        self.clock.lock().area.publish(area, &clock::vcpu_time())
    }
}

fn registered(area: &AtomicU64) -> Option<Vaddr> {
    match area.load(Ordering::Relaxed) {
        0 => None,
        address => Some(Vaddr(address)),
    }
}
