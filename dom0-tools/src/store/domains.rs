//! Domains that are known to the store, and clients that come and go.

use super::client::{Client, Mode};
use super::operation::{Change, revoke};
use super::path::Special;
use super::record::Record;
use super::{ClientId, Store, actor_of};
use guest_abi::errno::Errno;
use guest_abi::ids::{DomId, Port};

/// What the store needs of who carries its messages.
pub trait Host {
    /// Connects to a domain's ring.
    ///
    /// # Errors
    ///
    /// What the client that asks is told.
    fn connect(&mut self, domain: DomId, gfn: u64, port: Port) -> Result<(), Errno>;

    /// Lets go of a domain's ring.
    fn disconnect(&mut self, domain: DomId);

    /// How a domain is.
    fn status(&mut self, domain: DomId) -> Status;
}

/// How a domain is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// It runs, or could.
    Alive,
    /// It has shut down or crashed, and has not been destroyed.
    ShutDown,
    /// It is being destroyed, or does not exist.
    Gone,
}

/// A domain that has been introduced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Domain {
    /// The frame of its ring, in its own numbers.
    pub gfn: u64,
    /// The port of its ring, in its own numbers.
    pub port: Port,
    /// Whether it has been seen to have shut down.
    pub is_shut_down: bool,
    /// The domain whose rights it has as well.
    pub target: Option<DomId>,
}

impl Store {
    /// A process has connected by a socket.
    pub fn connect_socket(&mut self, number: u32, mode: Mode) -> ClientId {
        let id = ClientId::Socket(number);
        self.clients
            .insert(id, Client::new(actor_of(id, None), mode));
        id
    }

    /// The domain in which the store runs is connected by a ring of its kernel.
    pub fn connect_own_kernel(&mut self) {
        if !self.domains.contains_key(&DomId::DOM0) {
            self.add_domain(DomId::DOM0, 0, Port(0));
        }
    }

    /// A client has gone.
    pub fn disconnect(&mut self, id: ClientId) {
        if let Some(mut client) = self.clients.remove(&id) {
            for watch in client.remove_all_watches() {
                self.watches.remove(&watch);
            }
        }
        self.has_mail.remove(&id);
    }

    /// Undoes a client's watches and transactions.
    pub fn reset(&mut self, id: ClientId) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.transactions.clear();
            for watch in client.remove_all_watches() {
                self.watches.remove(&watch);
            }
        }
        if let ClientId::Domain(domain) = id {
            self.record(|| Record::Reset { domain: domain.0 });
        }
    }

    /// A domain asks for a new connection by its ring: nothing of the old one is left.
    pub fn reconnect(&mut self, domain: DomId) {
        let id = ClientId::Domain(domain);
        self.reset(id);
        if let Some(client) = self.clients.get_mut(&id) {
            client.outbox = Default::default();
        }
    }

    /// Domains that are known.
    pub fn domains(&self) -> impl Iterator<Item = (DomId, &Domain)> {
        self.domains.iter().map(|(&id, domain)| (id, domain))
    }

    /// Whether the domain is known.
    #[must_use]
    pub fn is_introduced(&self, domain: DomId) -> bool {
        self.domains.contains_key(&domain)
    }

    pub(super) fn introduce(
        &mut self,
        host: &mut dyn Host,
        domain: DomId,
        gfn: u64,
        port: Port,
    ) -> Result<bool, Errno> {
        if domain == DomId::DOM0 || !domain.is_real() {
            return Err(Errno::EINVAL);
        }
        let is_known = self.is_introduced(domain);
        if host.status(domain) == Status::Gone {
            return Err(Errno::ENOENT);
        }
        if is_known {
            host.disconnect(domain);
        }
        if let Err(error) = host.connect(domain, gfn, port) {
            log::warn!(
                "domain {} is not introduced: its ring in frame {gfn:#x} with port {} can't be used ({error:?})",
                domain.0,
                port.0
            );
            if is_known {
                self.forget(domain);
            }
            return Err(error);
        }
        if is_known {
            self.reconnect(domain);
        }
        self.add_domain(domain, gfn, port);
        Ok(!is_known)
    }

    fn add_domain(&mut self, domain: DomId, gfn: u64, port: Port) {
        let id = ClientId::Domain(domain);
        let target = self.domains.get(&domain).and_then(|known| known.target);
        let known = Domain {
            gfn,
            port,
            is_shut_down: false,
            target,
        };
        self.record(|| Record::domain(domain, &known));
        self.domains.insert(domain, known);
        self.clients
            .entry(id)
            .or_insert_with(|| Client::new(actor_of(id, target), Mode::ReadWrite));
    }

    pub(super) fn release(&mut self, host: &mut dyn Host, domain: DomId) -> Result<(), Errno> {
        if domain == DomId::DOM0 {
            return Err(Errno::EINVAL);
        }
        if !self.is_introduced(domain) {
            return Err(Errno::ENOENT);
        }
        host.disconnect(domain);
        self.forget(domain);
        Ok(())
    }

    fn forget(&mut self, domain: DomId) {
        self.domains.remove(&domain);
        self.disconnect(ClientId::Domain(domain));
        for known in self.domains.values_mut() {
            if known.target == Some(domain) {
                known.target = None;
            }
        }
        for client in self.clients.values_mut() {
            if client.actor.target == Some(domain) {
                client.actor.target = None;
            }
        }
        self.record(|| Record::DomainGone { domain: domain.0 });
    }

    pub(super) fn resume(&mut self, domain: DomId) -> Result<(), Errno> {
        let known = self.domains.get_mut(&domain).ok_or(Errno::ENOENT)?;
        known.is_shut_down = false;
        let known = *known;
        self.record(|| Record::domain(domain, &known));
        Ok(())
    }

    pub(super) fn set_target(&mut self, domain: DomId, target: DomId) -> Result<(), Errno> {
        if domain == DomId::DOM0 || target == DomId::DOM0 {
            return Err(Errno::EINVAL);
        }
        if !self.is_introduced(target) {
            return Err(Errno::ENOENT);
        }
        let known = self.domains.get_mut(&domain).ok_or(Errno::ENOENT)?;
        known.target = Some(target);
        let known = *known;
        if let Some(client) = self.clients.get_mut(&ClientId::Domain(domain)) {
            client.actor.target = Some(target);
        }
        self.record(|| Record::domain(domain, &known));
        Ok(())
    }

    /// Looks which domains have shut down or are gone, and tells those who watch for that.
    pub fn look_at_domains(&mut self, host: &mut dyn Host) {
        let mut has_changed = false;
        let known: Vec<_> = self.domains.keys().copied().collect();
        for domain in known {
            if domain == DomId::DOM0 {
                continue;
            }
            match host.status(domain) {
                Status::Alive => {}
                Status::ShutDown => {
                    let Some(entry) = self.domains.get_mut(&domain) else {
                        continue;
                    };
                    if !entry.is_shut_down {
                        entry.is_shut_down = true;
                        let entry = *entry;
                        self.record(|| Record::domain(domain, &entry));
                        has_changed = true;
                    }
                }
                Status::Gone => {
                    self.domain_is_gone(host, domain);
                    has_changed = true;
                }
            }
        }
        if has_changed {
            self.announce_special(Special::ReleaseDomain);
        }
    }

    /// A domain's ring can't be connected any more: the same as if the domain had been released.
    pub fn lose(&mut self, host: &mut dyn Host, domain: DomId) {
        if self.release(host, domain).is_ok() {
            self.announce_special(Special::ReleaseDomain);
        }
    }

    fn domain_is_gone(&mut self, host: &mut dyn Host, domain: DomId) {
        host.disconnect(domain);
        self.forget(domain);
        for special in Special::ALL {
            if let Some(rest) = self.perms_of_special(special).without(domain) {
                self.set_special_perms(special, rest);
            }
        }
        let changes: Vec<Change> = revoke(&mut self.tree, domain);
        self.announce(&changes);
    }

    pub(super) fn set_special_perms(&mut self, special: Special, perms: super::Perms) {
        self.record(|| Record::SpecialPerms {
            name: special.name().into(),
            perms: perms.to_wire(),
        });
        self.special_perms.insert(special, perms);
    }
}
