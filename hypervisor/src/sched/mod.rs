//! Scheduling: which vCPU runs where and for how long, and when one may run at all.
//!
//! Two questions, kept apart. *May it run?* is a property of the vCPU and answered by its
//! [`RunState`], one atomic word. *Shall it run here, now?* is answered by a
//! [`Scheduler`], which keeps vCPUs in queues under locks of its own and is never the authority on the
//! first question: it asks the word again whenever it acts.
//!
//! # The protocol
//!
//! * Whoever changes a run state and is told [`Change::BecameRunnable`](run_state::Change) calls
//!   [`Scheduler::wake`]; told `BecameIdle`, [`Scheduler::sleep`]. Either may be late or doubled.
//! * A processor calls [`Scheduler::pick_next`] when it is [poked](Poke), when the slice it was given ends,
//!   and when its vCPU stops being runnable. A vCPU that it is told to switch to is already claimed for
//!   it ([`RunState::start_running`](run_state::RunState::start_running)).
//! * When it has saved all that it held of the vCPU it ran before, and only then, it calls
//!   [`Scheduler::descheduled`]. From there on another processor may run that vCPU.
//! * Calls that return a [`Poke`] ask the caller to make that processor pick again: by an interrupt, or
//!   by a flag if it is the caller's own. After a wake-up that one may wait with it
//!   [until something can come of it](Scheduler::settled_until).
//!
//! # Locks
//!
//! [`RUN_QUEUE`](crate::sync::rank::RUN_QUEUE), one for each processor, interrupts off while held; never two
//! at once. [`SHARE`](crate::sync::rank::SHARE) inside. All of the trait may be called from interrupt handlers.
#![forbid(unsafe_code)]

pub mod attention;
pub mod cpu_set;
pub mod credit;
#[cfg(all(test, not(loom)))]
mod credit_tests;
#[cfg(all(test, loom))]
mod loom_models;
pub mod run_state;
pub mod setup;
pub mod sleep_time;
#[cfg(test)]
mod test_vcpu;
pub mod ups;

pub use attention::{Attention, Reasons};
pub use cpu_set::{CpuId, CpuSet};
pub use run_state::RunState;
pub use sleep_time::SleepTime;

/// A vCPU, as a scheduler with entries of type `U` sees it. Cloning one is cheap and makes a second
/// reference to the same.
pub trait SchedVcpu<U>: Clone {
    /// Whether it may run.
    fn run_state(&self) -> &RunState;
    /// The scheduler's own data about it.
    fn unit(&self) -> &U;
}

/// A processor that should pick again.
#[must_use = "without it a processor may go on with the wrong vCPU, or sleep on"]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Poke(pub Option<CpuId>);

/// What a processor does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pick<V> {
    /// Goes on with the vCPU that it has.
    Stay,
    /// Puts that one away and runs this one, which is claimed for it.
    Switch(V),
    /// Puts that one away and sleeps.
    Idle,
}

/// A choice and how long it holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decision<V> {
    /// What to do.
    pub pick: Pick<V>,
    /// System time in ns at which to pick again; `None`: when poked.
    pub until_ns: Option<u64>,
    /// A processor that should pick, too.
    pub poke: Poke,
}

/// Why a scheduler refuses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SchedError {
    /// No memory for another vCPU.
    OutOfMemory,
    /// None of the processors named is on line.
    NoCpu,
}

/// Decides who runs where. Times are system times in nanoseconds.
pub trait Scheduler<V> {
    /// Takes on a vCPU, not runnable yet, that may run on the processors of `affinity`.
    fn add(&self, vcpu: &V, affinity: CpuSet) -> Result<(), SchedError>;
    /// Forgets a vCPU that is not runnable and not running, and will not be.
    fn remove(&self, vcpu: &V, now_ns: u64);
    /// It became runnable.
    fn wake(&self, vcpu: &V, now_ns: u64) -> Poke;
    /// Until when no vCPU that is woken takes the place of the one that `cpu` runs, in ns of system time. Asked by `cpu`
    /// itself when [`wake`](Self::wake) has told it to poke itself: it need not pick before that time.
    fn settled_until(&self, cpu: CpuId) -> u64;
    /// It stopped being runnable.
    fn sleep(&self, vcpu: &V, now_ns: u64) -> Poke;
    /// The vCPU that runs on `cpu` gives way to those that wait there. The processor picks again.
    fn yield_now(&self, cpu: CpuId);
    /// What `cpu`, which has `current`, does next.
    fn pick_next(&self, cpu: CpuId, now_ns: u64, current: Option<&V>) -> Decision<V>;
    /// `cpu` holds nothing of the vCPU any more.
    fn descheduled(&self, cpu: CpuId, vcpu: &V, now_ns: u64) -> Poke;
    /// Changes where a vCPU may run. It moves at once if it has to; if it runs, when the poked processor
    /// picks.
    fn set_affinity(&self, vcpu: &V, affinity: CpuSet, now_ns: u64) -> Result<Poke, SchedError>;
    /// Where a vCPU may run.
    fn affinity(&self, vcpu: &V) -> CpuSet;
    /// A processor begins, or ceases, to take part. It ceases after it has put its last vCPU away; those
    /// that wait there move, each with a poke.
    fn set_online(&self, cpu: CpuId, is_online: bool, poke: &mut dyn FnMut(Poke));
}
