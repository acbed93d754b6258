//! How a domain ends, and what the machine does when the first one does.
#![forbid(unsafe_code)]

use super::audit;
use super::domains::{Domain, Domains};
use super::vcpu::Vcpu;
use crate::arch::{death, rendezvous, scheduler};
use crate::console;
use crate::sched::run_state::{Change, RunState};
use crate::sched::setup::NotSetUp;
use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering};
use guest_abi::ids::DomId;
use guest_abi::sched_op::ShutdownReason;

/// Whether a domain has ended, and why.
pub(crate) struct ShutdownState {
    /// 0, or the reason's number plus one. Set once, until tools let the domain go on.
    reason: AtomicU32,
    /// The reason that counts whenever the domain ends, whatever is said then: as `reason`.
    kept: AtomicU32,
}

impl ShutdownState {
    pub(crate) const fn new() -> Self {
        Self {
            reason: AtomicU32::new(0),
            kept: AtomicU32::new(0),
        }
    }

    /// The reason's number, once the domain has ended.
    pub(crate) fn reason(&self) -> Option<u32> {
        self.reason.load(Ordering::Acquire).checked_sub(1)
    }

    /// Whether the domain has ended to be saved.
    pub(super) fn is_suspended(&self) -> bool {
        self.reason() == Some(ShutdownReason::Suspend as u32)
    }

    /// It has not ended.
    fn forget(&self) {
        self.kept.store(0, Ordering::Release);
        self.reason.store(0, Ordering::Release);
    }

    fn set(&self, reason: u8) -> bool {
        let word = match self.kept.load(Ordering::Acquire) {
            0 => u32::from(reason) + 1,
            kept => kept,
        };
        self.reason
            .compare_exchange(0, word, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}

impl Domain {
    /// Why it has ended, as the reason's number.
    pub(crate) fn shutdown_reason(&self) -> Option<u32> {
        self.shutdown.reason()
    }

    /// Keeps a reason, a [`ShutdownReason`] if the guest is sane, for when the domain ends.
    pub(crate) fn keep_shutdown_reason(&self, reason: u8) {
        let word = u32::from(reason) + 1;
        self.shutdown.kept.store(word, Ordering::Release);
    }

    /// Ends the domain: none of its vCPUs runs again. The machine ends with the first one. `reason` is a
    /// [`ShutdownReason`] if the guest is sane.
    pub(crate) fn shutdown(&self, reason: u8) {
        if !self.stop_for_end(reason) {
            return;
        }
        if self.is_hardware_domain() {
            if audit::is_wanted_at_end() {
                rendezvous::audit_frames_and_end();
            } else {
                end_machine();
            }
        } else {
            self.tell_of_shutdown();
        }
    }

    /// Sets the reason and pauses all vCPUs. `false` if it has ended before.
    fn stop_for_end(&self, reason: u8) -> bool {
        // Tools may just be letting it go on after an earlier end: those whose turn was before this run already.
        let _all = self.nr_up.lock();
        if !self.shutdown.set(reason) {
            return false;
        }
        for vcpu in self.vcpus() {
            // So many pauses that another can't be counted hold it back as well.
            if vcpu.pause_for_shutdown() {
                let _ = scheduler::pause(vcpu);
            }
        }
        true
    }

    /// Undoes its end: its vCPUs go on where they were.
    pub(crate) fn resume(&self) {
        let _all = self.nr_up.lock();
        self.shutdown.forget();
        for vcpu in self.vcpus() {
            if vcpu.take_paused_for_shutdown() {
                let _ = scheduler::unpause(vcpu);
            }
        }
    }

    /// Brings a vCPU up, if it has a context.
    pub(crate) fn bring_up(&self, vcpu: &Arc<Vcpu>) -> Result<(), NotSetUp> {
        let result = self.nr_up.lock().count(&vcpu.run, |_| vcpu.bring_up());
        // It may have been up for a moment.
        scheduler::follow_change(vcpu, result.unwrap_or(Change::BecameIdle));
        result.map(|_| ())
    }

    /// Takes a vCPU down. With the last that is up the domain ends.
    pub(crate) fn take_down(&self, vcpu: &Arc<Vcpu>) {
        let change = self.nr_up.lock().take_down(&vcpu.run);
        match change {
            Some(change) => scheduler::follow_down(vcpu, change),
            None => self.shutdown(ShutdownReason::Poweroff as u8),
        }
    }

    /// Takes a vCPU down, whether another one is up or not.
    pub(crate) fn hold_down(&self, vcpu: &Arc<Vcpu>) {
        let (_, change) = self.nr_up.lock().count(&vcpu.run, RunState::take_down);
        scheduler::follow_down(vcpu, change);
    }

    /// Ends the domain because of what vCPU `vcpu` did or could not do.
    pub(crate) fn crash(&self, vcpu: &Vcpu, why: fmt::Arguments<'_>) {
        if self.shutdown.reason().is_none() {
            let (id, vcpu) = (self.id.0, vcpu.id().0);
            if self.is_hardware_domain() {
                // The machine goes down with it: never passed over in silence.
                console::line(format_args!("d{id}v{vcpu} is crashed: {why}"));
            } else {
                log::error!(target: console::GUEST, "d{id}v{vcpu} is crashed: {why}");
            }
        }
        self.shutdown(ShutdownReason::Crash as u8);
    }
}

/// The first domain owns the hardware: when it ends, the machine does what it asked for. The sentences are
/// those that scripts wait for.
pub(crate) fn end_machine() {
    let first = Domains.find(DomId::DOM0);
    let reason = first.and_then(|domain| domain.shutdown.reason());
    let Some(number) = reason else { return };
    match ShutdownReason::try_from(number) {
        Ok(ShutdownReason::Poweroff) => {
            console::line(format_args!("Hardware Dom0 halted: halting machine"));
            death::power_off_machine()
        }
        Ok(ShutdownReason::Crash) if death::is_staying() => {
            console::line(format_args!(
                "Hardware Dom0 crashed: 'noreboot' set - not rebooting."
            ));
            death::halt_machine()
        }
        Ok(ShutdownReason::Crash) => {
            console::line(format_args!(
                "Hardware Dom0 crashed: rebooting machine in 5 seconds."
            ));
            death::reboot_after_pause()
        }
        Ok(ShutdownReason::Watchdog) => {
            console::line(format_args!(
                "Hardware Dom0 shutdown: watchdog rebooting machine"
            ));
            death::reboot_machine()
        }
        Ok(ShutdownReason::Reboot) => {
            console::line(format_args!("Hardware Dom0 shutdown: rebooting machine"));
            death::reboot_machine()
        }
        Ok(ShutdownReason::SoftReset) => {
            console::line(format_args!(
                "Hardware domain 0 did unsupported soft reset, rebooting."
            ));
            death::reboot_machine()
        }
        _ if death::is_staying() => {
            console::line(format_args!(
                "Hardware Dom0 shutdown (unknown reason {number}): 'noreboot' set - not rebooting."
            ));
            death::halt_machine()
        }
        _ => {
            console::line(format_args!(
                "Hardware Dom0 shutdown (unknown reason {number}): rebooting machine in 5 seconds."
            ));
            death::reboot_after_pause()
        }
    }
}
