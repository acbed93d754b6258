//! Raising and unmasking events in the two-level bitmaps.
//!
//! The order of the locked operations is the interface with the guest, whose half of it is: clear
//! `evtchn_upcall_pending`, take the selector by exchange, then scan the words that it names. Each side
//! sets the outer bit after the inner one and clears it before, so that an event is either found by the
//! scan under way or leads to another upcall.
#![forbid(unsafe_code)]

use super::domain::{EventDomain, SharedInfo};
use super::error::EventError;
use super::port::{Binding, PortWord};
use guest_abi::ids::{Port, VcpuId};

/// Raises an event on a port if it is bound as `expected` (and, where given, to that vCPU); says whether
/// it is. From any processor, interrupt handlers too.
pub(super) fn notify<D: EventDomain>(
    domain: &D,
    port: Port,
    expected: Binding,
    vcpu: Option<VcpuId>,
) -> bool {
    domain
        .ports()
        .word(port)
        .is_some_and(|word| notify_word(domain, port, word, expected, vcpu))
}

/// As [`notify`], given the port's word.
#[inline]
pub(super) fn notify_word<D: EventDomain>(
    domain: &D,
    port: Port,
    word: &PortWord,
    expected: Binding,
    vcpu: Option<VcpuId>,
) -> bool {
    let Some(pin) = word.pin(expected, vcpu) else {
        return false;
    };
    set_pending(domain, port, pin.vcpu());
    true
}

/// Sets a port's pending bit and does what follows from it. The caller holds the port by a pin, or knows
/// that it can't be closed meanwhile.
pub(super) fn set_pending<D: EventDomain>(domain: &D, port: Port, vcpu: VcpuId) {
    let shared = domain.shared();
    if shared.set_pending(port) {
        return;
    }
    if !shared.is_masked(port) {
        select(domain, port, vcpu);
    }
    domain
        .ports()
        .pollers()
        .notify(port, |poller| domain.kick(poller));
}

/// Makes a pending, unmasked port known to its vCPU.
fn select<D: EventDomain>(domain: &D, port: Port, vcpu: VcpuId) {
    let shared = domain.shared();
    if !shared.select(vcpu, port.0 / u64::BITS) && !shared.set_upcall_pending(vcpu) {
        domain.kick(vcpu);
    }
}

/// `EVTCHNOP_unmask`: clears a port's mask, and makes the event known if one is pending.
pub fn unmask<D: EventDomain>(domain: &D, port: Port) -> Result<(), EventError> {
    let snapshot = domain.ports().snapshot(port).ok_or(EventError::Invalid)?;
    let shared = domain.shared();
    if snapshot.binding.is_bound() && shared.clear_mask(port) && shared.is_pending(port) {
        select(domain, port, snapshot.vcpu);
    }
    Ok(())
}
