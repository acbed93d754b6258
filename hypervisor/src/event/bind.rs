//! Operations that make a port or change what it is bound to, of one domain.
#![forbid(unsafe_code)]

use super::domain::{EventDomain, EventDomains, Pirqs};
use super::error::EventError;
use super::port::{Binding, MAX_DETAIL, Snapshot};
use super::table::{Fresh, is_per_vcpu};
use super::{connection, deliver};
use guest_abi::event_channel::{BindPirqFlags, ChannelStatus, NR_VIRQS, Status};
use guest_abi::ids::{DomId, Port, VcpuId};
use zerocopy::FromZeros;

/// Binds a fresh port, or gives it back if the numbers are too large for one.
fn publish<D: EventDomain>(
    domain: &D,
    fresh: Fresh<'_>,
    binding: Binding,
    vcpu: VcpuId,
) -> Result<Port, EventError> {
    if fresh.word.publish(binding, vcpu) {
        Ok(fresh.port)
    } else {
        domain.ports().give_back(domain, fresh.port, fresh.word);
        Err(EventError::Invalid)
    }
}

/// `EVTCHNOP_alloc_unbound`: a port of `domain` that `remote` may connect to. `remote` need not exist;
/// `DOMID_SELF` has become the caller's number before.
pub fn alloc_unbound<D: EventDomain>(domain: &D, remote: DomId) -> Result<Port, EventError> {
    let fresh = domain.ports().allocate(domain)?;
    publish(domain, fresh, Binding::Unbound { remote }, VcpuId(0))
}

/// `EVTCHNOP_bind_ipi`: a port by which the domain interrupts one of its vCPUs.
pub fn bind_ipi<D: EventDomain>(domain: &D, vcpu: VcpuId) -> Result<Port, EventError> {
    if !domain.has_vcpu(vcpu) {
        return Err(EventError::NoSuchVcpu);
    }
    let fresh = domain.ports().allocate(domain)?;
    publish(domain, fresh, Binding::Ipi, vcpu)
}

/// `EVTCHNOP_bind_virq`: a port for a virtual interrupt. Any number below [`NR_VIRQS`] may be bound, be it
/// ever raised or not. One of which the domain has a single instance starts on vCPU 0 only.
pub fn bind_virq<D: EventDomain>(domain: &D, virq: u32, vcpu: VcpuId) -> Result<Port, EventError> {
    if virq >= NR_VIRQS || (!is_per_vcpu(virq) && vcpu != VcpuId(0)) {
        return Err(EventError::Invalid);
    }
    if !domain.has_vcpu(vcpu) {
        return Err(EventError::NoSuchVcpu);
    }
    domain.ports().allocate_virq(domain, virq, vcpu)
}

/// `EVTCHNOP_bind_pirq`: a port for a physical interrupt, which starts on vCPU 0.
pub fn bind_pirq<D: EventDomain>(
    domain: &D,
    pirq: u32,
    flags: BindPirqFlags,
) -> Result<Port, EventError> {
    if pirq >= MAX_DETAIL {
        return Err(EventError::Invalid);
    }
    let fresh = domain.ports().allocate(domain)?;
    let is_shared = flags.contains(BindPirqFlags::WILL_SHARE);
    if let Err(error) = domain.pirqs().bind(pirq, fresh.port, is_shared) {
        domain.ports().give_back(domain, fresh.port, fresh.word);
        return Err(error);
    }
    let port = publish(domain, fresh, Binding::Pirq(pirq), VcpuId(0))?;
    // Only now: an interrupt that comes before its port is bound would be lost, and its line stay dead.
    domain.pirqs().activate(pirq, port);
    Ok(port)
}

/// `EVTCHNOP_bind_vcpu`: moves a port's notifications. A port made for one vCPU stays there.
pub fn bind_vcpu<D: EventDomain>(domain: &D, port: Port, vcpu: VcpuId) -> Result<(), EventError> {
    if !domain.has_vcpu(vcpu) {
        return Err(EventError::NoSuchVcpu);
    }
    let word = domain.ports().word(port).ok_or(EventError::Invalid)?;
    let moved = word.retarget(vcpu, |binding| match binding {
        Binding::Unbound { .. } | Binding::Interdomain { .. } | Binding::Pirq(_) => true,
        Binding::Virq(virq) => !is_per_vcpu(virq),
        Binding::Free | Binding::Changing | Binding::Connecting { .. } | Binding::Ipi => false,
    });
    match moved {
        Some(Binding::Pirq(pirq)) => domain.pirqs().retarget(pirq, vcpu),
        Some(_) => {}
        None => return Err(EventError::Invalid),
    }
    Ok(())
}

/// `EVTCHNOP_status`: the outputs; `dom` and `port` are for the caller to fill.
pub fn status<D: EventDomain>(domain: &D, port: Port) -> Result<Status, EventError> {
    let snapshot = domain.ports().snapshot(port).ok_or(EventError::Invalid)?;
    let mut status = Status::new_zeroed();
    status.vcpu = snapshot.vcpu;
    let kind = match snapshot.binding {
        Binding::Free | Binding::Changing | Binding::Connecting { .. } => {
            status.vcpu = VcpuId(0);
            ChannelStatus::Closed
        }
        Binding::Unbound { remote } => {
            status.remote_dom = remote;
            ChannelStatus::Unbound
        }
        Binding::Interdomain { remote, port } => {
            status.remote_dom = remote;
            status.remote_port = port;
            ChannelStatus::Interdomain
        }
        Binding::Pirq(pirq) => {
            status.set_interrupt(pirq);
            ChannelStatus::Pirq
        }
        Binding::Virq(virq) => {
            status.set_interrupt(virq);
            ChannelStatus::Virq
        }
        Binding::Ipi => ChannelStatus::Ipi,
    };
    status.status = kind.number();
    Ok(status)
}

/// `EVTCHNOP_close`: frees a port. The other end of a connection stays, and may be bound by this domain
/// again.
pub fn close<L: EventDomains>(
    domains: &L,
    domain: &L::Domain,
    port: Port,
) -> Result<(), EventError> {
    let word = domain.ports().word(port).ok_or(EventError::Invalid)?;
    let was = word.take().ok_or(EventError::Invalid)?;
    match was.binding {
        Binding::Interdomain { remote, port: peer } => {
            if let Some(remote) = domains.get(remote) {
                connection::disconnect(domain.id(), port, &*remote, peer);
            }
        }
        Binding::Pirq(pirq) => domain.pirqs().unbind(pirq, port),
        Binding::Virq(virq) => domain.ports().forget_virq(virq, was.vcpu, port),
        Binding::Unbound { .. } | Binding::Ipi => {}
        Binding::Free | Binding::Changing | Binding::Connecting { .. } => {}
    }
    word.drain();
    domain.ports().give_back(domain, port, word);
    Ok(())
}

/// Raises a virtual interrupt on a vCPU (or, if the domain has one instance, on whichever it is bound
/// to). Says whether it is bound. From any processor, interrupt handlers too.
pub fn raise_virq<D: EventDomain>(domain: &D, virq: u32, vcpu: VcpuId) -> bool {
    let own = is_per_vcpu(virq).then_some(vcpu);
    domain
        .ports()
        .virq_port(virq, vcpu)
        .is_some_and(|port| deliver::notify(domain, port, Binding::Virq(virq), own))
}

/// Raises a physical interrupt on the port that it was bound to. Says whether it still is. From any
/// processor, interrupt handlers too.
pub fn raise_pirq<D: EventDomain>(domain: &D, pirq: u32, port: Port) -> bool {
    deliver::notify(domain, port, Binding::Pirq(pirq), None)
}

/// How far a walk over all ports came.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// All ports are closed.
    Done,
    /// Asked to stop; go on from this port.
    At(Port),
}

/// Closes all ports from `first` (start with port 1): `EVTCHNOP_reset`, and with
/// [`close_for_good`](super::table::PortTable::close_for_good) before it the end of a domain. Stops when
/// `should_stop` says so, after at least one port; at the end of a domain also at a port that is in the hands of another operation,
/// which somebody else may do on its behalf: it is not passed over.
pub fn close_all<L: EventDomains>(
    domains: &L,
    domain: &L::Domain,
    first: Port,
    mut should_stop: impl FnMut() -> bool,
) -> Progress {
    let is_end = domain.ports().is_closed_for_good();
    for number in first.0..=domain.ports().max_port().0 {
        if domain.ports().snapshot(Port(number)).is_none() {
            // Ports are allocated from the lowest; no memory here means none in use above.
            return Progress::Done;
        }
        if number != first.0 && should_stop() {
            return Progress::At(Port(number));
        }
        // Refused for those that are not in use.
        let _ = close(domains, domain, Port(number));
        let is_left = |snapshot: Snapshot| snapshot.binding != Binding::Free;
        if is_end && domain.ports().snapshot(Port(number)).is_some_and(is_left) {
            return Progress::At(Port(number));
        }
    }
    Progress::Done
}
