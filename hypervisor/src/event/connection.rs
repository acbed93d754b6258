//! Operations on two domains' ports: connect, send, and the far half of close.
#![forbid(unsafe_code)]

use super::deliver;
use super::domain::{EventDomain, EventDomains};
use super::error::EventError;
use super::port::Binding;
use crate::sync::spin_loop;
use guest_abi::ids::{DomId, Port, VcpuId};

/// `EVTCHNOP_bind_interdomain`: connects a fresh port of `domain` to a port that `remote` has kept
/// unbound for it. The new port is pending at once, since events may have been sent to the other before.
pub fn bind_interdomain<L: EventDomains>(
    domains: &L,
    domain: &L::Domain,
    remote: DomId,
    remote_port: Port,
) -> Result<Port, EventError> {
    let remote = if remote == DomId::SELF {
        domain.id()
    } else {
        remote
    };
    let remote_domain = domains.get(remote).ok_or(EventError::NoSuchDomain)?;
    let fresh = domain.ports().allocate(domain)?;
    let connecting = Binding::Connecting {
        remote,
        port: remote_port,
    };
    let connected = Binding::Interdomain {
        remote,
        port: remote_port,
    };
    let is_connected = fresh.word.publish(connecting, VcpuId(0))
        && remote_domain.ports().word(remote_port).is_some_and(|word| {
            let ours = Binding::Interdomain {
                remote: domain.id(),
                port: fresh.port,
            };
            word.exchange(
                Binding::Unbound {
                    remote: domain.id(),
                },
                ours,
            )
        })
        && fresh.word.publish(connected, VcpuId(0));
    if !is_connected {
        domain.ports().give_back(domain, fresh.port, fresh.word);
        return Err(EventError::Invalid);
    }
    deliver::notify(domain, fresh.port, connected, None);
    Ok(fresh.port)
}

/// The far half of closing `port` of `domain`, which the caller holds as `Changing`: its peer becomes
/// unbound, if it is still connected.
pub(super) fn disconnect<D: EventDomain>(domain: DomId, port: Port, remote: &D, peer: Port) {
    let Some(word) = remote.ports().word(peer) else {
        return;
    };
    loop {
        match word.load().binding {
            Binding::Interdomain {
                remote: dom,
                port: at,
            } if dom == domain && at == port => {
                let connected = Binding::Interdomain {
                    remote: domain,
                    port,
                };
                if word.exchange(connected, Binding::Unbound { remote: domain }) {
                    return;
                }
            }
            // It has connected us and is about to say so. It waits for nobody.
            Binding::Connecting {
                remote: dom,
                port: at,
            } if dom == domain && at == port => spin_loop(),
            // It was closed from its own side meanwhile.
            _ => return,
        }
    }
}

/// `EVTCHNOP_send`: raises an event on the other end. To a port that nobody is connected to, sending
/// does nothing and succeeds.
pub fn send<L: EventDomains>(
    domains: &L,
    domain: &L::Domain,
    port: Port,
) -> Result<(), EventError> {
    let word = domain.ports().word(port).ok_or(EventError::Invalid)?;
    match word.load().binding {
        Binding::Interdomain { remote, port: peer } => {
            if let Some(remote) = domains.get(remote) {
                let back = Binding::Interdomain {
                    remote: domain.id(),
                    port,
                };
                deliver::notify(&*remote, peer, back, None);
            }
            Ok(())
        }
        Binding::Ipi => {
            deliver::notify_word(domain, port, word, Binding::Ipi, None);
            Ok(())
        }
        Binding::Unbound { .. } => Ok(()),
        Binding::Free
        | Binding::Changing
        | Binding::Connecting { .. }
        | Binding::Pirq(_)
        | Binding::Virq(_) => Err(EventError::Invalid),
    }
}
