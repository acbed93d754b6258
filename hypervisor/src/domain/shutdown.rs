//! How a domain ends, and what the machine does when the first one does.

use super::audit;
use super::domains::{Domain, Domains};
use super::vcpu::Vcpu;
use crate::arch::{death, rendezvous, scheduler};
use crate::console;
use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering};
use guest_abi::ids::DomId;
use guest_abi::sched_op::ShutdownReason;

/// Whether a domain has ended, and why: 0, or the reason's number plus one. Set once.
pub(crate) struct ShutdownState(AtomicU32);

impl ShutdownState {
    pub(crate) const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// The reason's number, once the domain has ended.
    pub(crate) fn reason(&self) -> Option<u32> {
        self.0.load(Ordering::Acquire).checked_sub(1)
    }

    fn set(&self, reason: u32) -> bool {
        self.0
            .compare_exchange(0, reason + 1, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}

impl Domain {
    /// Why it has ended, as the reason's number.
    pub(crate) fn shutdown_reason(&self) -> Option<u32> {
        self.shutdown.reason()
    }

    /// Ends the domain: none of its vCPUs runs again. The machine ends with the first one.
    pub(crate) fn shutdown(&self, reason: ShutdownReason) {
        if !self.shutdown.set(reason as u32) {
            return;
        }
        for vcpu in self.vcpus() {
            if vcpu
                .run
                .pause()
                .is_ok_and(|change| change == crate::sched::run_state::Change::BecameIdle)
            {
                scheduler::poke(vcpu);
            }
        }
        if self.is_hardware_domain() {
            if audit::is_wanted_at_end() {
                rendezvous::audit_frames_and_end();
            } else {
                end_machine();
            }
        }
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
        self.shutdown(ShutdownReason::Crash);
    }
}

/// The first domain owns the hardware: when it ends, the machine does what it asked for. The sentences are
/// those that scripts wait for.
pub(crate) fn end_machine() {
    let first = Domains.find(DomId::DOM0);
    let reason = first.and_then(|domain| domain.shutdown.reason());
    let Some(Ok(reason)) = reason.map(ShutdownReason::try_from) else {
        return;
    };
    match reason {
        ShutdownReason::Poweroff => {
            console::line(format_args!("Hardware Dom0 halted: halting machine"));
            death::power_off_machine()
        }
        ShutdownReason::Crash if death::is_staying() => {
            console::line(format_args!(
                "Hardware Dom0 crashed: 'noreboot' set - not rebooting."
            ));
            death::halt_machine()
        }
        ShutdownReason::Crash => {
            console::line(format_args!(
                "Hardware Dom0 crashed: rebooting machine in 5 seconds."
            ));
            death::reboot_after_pause()
        }
        ShutdownReason::Watchdog => {
            console::line(format_args!(
                "Hardware Dom0 shutdown: watchdog rebooting machine"
            ));
            death::reboot_machine()
        }
        ShutdownReason::Reboot => {
            console::line(format_args!("Hardware Dom0 shutdown: rebooting machine"));
            death::reboot_machine()
        }
        other => {
            console::line(format_args!(
                "Hardware Dom0 shutdown: unknown reason {}: rebooting machine",
                other as u32
            ));
            death::reboot_machine()
        }
    }
}
