//! What tools set and do with a domain: its settings, pauses, and the account of it.
//!
//! Control operations are done one at a time ([`Turn`]), so none of them meets another one half way.

#![forbid(unsafe_code)]

use super::domains::{Domain, Domains};
use super::vcpu::Vcpu;
use crate::arch::scheduler;
use crate::control::create::Plan;
use crate::control::describe::{self, DomainFacts, VcpuFacts, VcpuSum};
use crate::control::life::{Life, Stage};
use crate::control::pauses::{Edge, PauseError, Pauses};
use crate::control::policy::Mask;
use crate::cpu_policy::cpuid::Leaf;
use crate::event;
use crate::lock::IrqLock;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use guest_abi::domctl_domain::{DomainInfo, MiscFlags};
use guest_abi::event_channel::Virq;
use guest_abi::ids::{DomId, Port, VcpuId};
use zerocopy::FromZeros;

/// What tools set of a domain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Identity.
    pub(crate) handle: [u8; 16],
    /// Security label.
    pub(crate) ssidref: u32,
    /// How far its wall clock is off, in s.
    pub(crate) time_offset_s: i64,
    /// The mode of its time-stamp counter: the number is what counts, as none is emulated.
    pub(crate) tsc_mode: u32,
    /// How often it was restored.
    pub(crate) incarnation: u32,
    /// A debugger handles its breakpoints.
    pub(crate) is_debugged: bool,
    /// Its port that hears of its suspension; port 0 for none.
    pub(crate) suspend_port: Port,
    /// Features that it is left with.
    pub(crate) features: Mask,
    /// It runs the store.
    pub(crate) is_store: bool,
    /// Unknown MSRs read as the hardware's.
    pub(crate) has_relaxed_msrs: bool,
}

/// A domain's state as far as control operations are concerned.
pub(crate) struct ControlState {
    pub(super) life: Life,
    pub(super) pauses: Pauses,
    pub(crate) settings: IrqLock<Settings>,
    /// Whether `settings.features` takes anything away: answers to CPUID are asked for often, and mostly whole.
    has_fewer_features: AtomicBool,
    /// vCPUs that it was made for.
    pub(super) max_vcpus: u32,
    /// It was let go at least once.
    has_begun: AtomicBool,
    /// Frames that it shares with the hypervisor, which has given them up, and that somebody still maps.
    shared_frames: AtomicU32,
    /// How far its destruction has come.
    pub(super) ending: IrqLock<super::destroy::Progress>,
}

impl ControlState {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            life: Life::new(),
            pauses: Pauses::once(),
            has_fewer_features: AtomicBool::new(false),
            settings: IrqLock::new(Settings {
                handle: plan.handle,
                ssidref: plan.ssidref,
                time_offset_s: 0,
                tsc_mode: 0,
                incarnation: 0,
                is_debugged: false,
                suspend_port: Port(0),
                features: Mask::ALL,
                is_store: plan.is_store,
                has_relaxed_msrs: plan.has_relaxed_msrs,
            }),
            max_vcpus: plan.max_vcpus,
            has_begun: AtomicBool::new(false),
            shared_frames: AtomicU32::new(0),
            ending: IrqLock::new(super::destroy::Progress::START),
        }
    }

    pub(super) fn expect_shared_frame(&self) {
        self.shared_frames.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn shared_frame_is_free(&self) {
        self.shared_frames.fetch_sub(1, Ordering::AcqRel);
    }

    pub(super) fn has_nothing_left(&self) -> bool {
        self.life.stage() == Stage::Dead && self.shared_frames.load(Ordering::Acquire) == 0
    }
}

/// The right to do a control operation.
pub(crate) struct Turn(());

static IS_TAKEN: AtomicBool = AtomicBool::new(false);

impl Turn {
    /// Takes it, unless somebody has it: then the caller tries again, and lets others run meanwhile.
    pub(crate) fn take() -> Option<Self> {
        IS_TAKEN
            .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
            .ok()
            .map(|_| Self(()))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        IS_TAKEN.store(false, Ordering::Release);
    }
}

/// The processor is wanted before a vCPU has stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Wanted;

/// A vCPU that no processor runs or holds, for as long as this lives.
pub(crate) struct Stopped<'v>(&'v Arc<Vcpu>);

impl<'v> Stopped<'v> {
    /// Stops it and waits until it has. Not for the vCPU that asks.
    pub(crate) fn wait(vcpu: &'v Arc<Vcpu>) -> Result<Self, Wanted> {
        // More pauses than can be counted hold it back as well, but can't be ended.
        scheduler::pause(vcpu).map_err(|_| Wanted)?;
        let stopped = Self(vcpu);
        has_stopped(vcpu)?;
        Ok(stopped)
    }
}

/// Waits until no processor holds a vCPU that is paused.
fn has_stopped(vcpu: &Arc<Vcpu>) -> Result<(), Wanted> {
    while vcpu.run.is_running() {
        if scheduler::should_yield() {
            return Err(Wanted);
        }
        core::hint::spin_loop();
    }
    Ok(())
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        let _ = scheduler::unpause(self.0);
    }
}

impl Domain {
    /// Whether it is being, or has been, destroyed.
    pub(crate) fn is_ending(&self) -> bool {
        self.control.life.is_ending()
    }

    /// What tools have set.
    pub(crate) fn settings(&self) -> Settings {
        *self.control.settings.lock()
    }

    /// Changes what tools have set.
    pub(crate) fn set(&self, change: impl FnOnce(&mut Settings)) {
        let mut settings = self.control.settings.lock();
        change(&mut settings);
        let is_narrowed = settings.features != Mask::ALL;
        self.control
            .has_fewer_features
            .store(is_narrowed, Ordering::Release);
    }

    /// What of an answer to CPUID tools have left.
    pub(crate) fn narrow(&self, leaf: u32, subleaf: u32, answer: Leaf) -> Leaf {
        if !self.control.has_fewer_features.load(Ordering::Acquire) {
            return answer;
        }
        self.settings().features.apply(leaf, subleaf, answer)
    }

    /// Whether it was let go at least once.
    pub(crate) fn has_begun(&self) -> bool {
        self.control.has_begun.load(Ordering::Acquire)
    }

    /// Does `work` while no processor runs or holds any of its vCPUs. Not for the domain that asks.
    pub(crate) fn while_stopped<R>(&self, work: impl FnOnce() -> R) -> Result<R, Wanted> {
        let mut paused = 0;
        let mut result = Ok(());
        for vcpu in self.vcpus() {
            result = scheduler::pause(vcpu).map_err(|_| Wanted);
            if result.is_err() {
                break;
            }
            paused += 1;
        }
        // All of them are asked before the first is waited for.
        let result = result
            .and_then(|()| self.vcpus().iter().try_for_each(has_stopped))
            .map(|()| work());
        for vcpu in self.vcpus().iter().take(paused) {
            let _ = scheduler::unpause(vcpu);
        }
        result
    }

    /// Pauses it. Whoever wants to see it stand still [stops](Self::while_stopped) it before.
    pub(crate) fn pause(&self) -> Result<(), PauseError> {
        if self.control.pauses.add()? == Edge::Changed {
            for vcpu in self.vcpus() {
                let _ = scheduler::pause(vcpu);
            }
        }
        Ok(())
    }

    /// Ends a pause.
    pub(crate) fn unpause(&self) -> Result<(), PauseError> {
        if self.control.pauses.end()? == Edge::Changed {
            self.control.has_begun.store(true, Ordering::Release);
            for vcpu in self.vcpus() {
                let _ = scheduler::unpause(vcpu);
            }
        }
        Ok(())
    }

    /// What is said of it to tools.
    pub(crate) fn describe(&self) -> DomainInfo {
        let now = scheduler::now_ns();
        let mut sum = VcpuSum::default();
        for vcpu in self.vcpus() {
            sum.add(
                vcpu.id().0,
                VcpuFacts {
                    is_up: vcpu.run.is_up(),
                    is_blocked: vcpu.run.is_blocked(),
                    is_running: vcpu.is_on_processor(),
                    cpu_time_ns: vcpu.cpu_time_ns(now),
                },
            );
        }
        let settings = self.settings();
        let facts = DomainFacts {
            stage: self.control.life.stage(),
            is_paused: self.control.pauses.any(),
            is_debugged: settings.is_debugged,
            is_store: settings.is_store,
            shutdown_reason: self.shutdown.reason(),
        };
        let mut info = DomainInfo::new_zeroed();
        info.domain = self.id;
        info.flags = describe::flags(facts, &sum);
        info.tot_pages = self.total_pages().into();
        info.max_pages = self.max_pages();
        info.outstanding_pages = self.claim().frames();
        info.shared_info_frame = self.bits.shared().0.mfn().0;
        info.cpu_time = sum.cpu_time_ns;
        info.nr_online_vcpus = sum.nr_online;
        info.max_vcpu_id = sum.max_id;
        info.ssidref = settings.ssidref;
        info.handle = settings.handle;
        if settings.has_relaxed_msrs {
            info.arch_config.misc_flags = MiscFlags::MSR_RELAXED;
        }
        info
    }

    /// A global interrupt of the first domain's: some domain has ended, or is gone.
    pub(super) fn tell_of_shutdown(&self) {
        let port = self.settings().suspend_port;
        if self.shutdown.is_suspended() && port.0 != 0 {
            // Its own port, bound to a port of who wants to hear of it.
            let _ = event::send(&Domains, self, port);
        } else {
            Domains.tell_of_end();
        }
    }
}

impl Domains {
    /// Tells the first domain that some domain has ended, or is gone.
    pub(super) fn tell_of_end(&self) {
        if let Some(first) = self.find(DomId::DOM0) {
            event::raise_virq(&*first, Virq::DomainException as u32, VcpuId(0));
        }
    }
}
