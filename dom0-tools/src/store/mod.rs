//! The store: a small tree of names and values by which domains, their tools and their drivers meet.
//!
//! [`Store`] is all of its logic as plain data: a message of a client goes in, answers and watch events
//! for clients come out of their [outboxes](outbox), and what must survive a restart comes out as
//! [records](record). Who carries the bytes is the daemon's business ([`crate::daemon`]).
//!
//! * [`tree`] has the nodes; [`operation`] what clients do to it, with [`perms`] and [`quota`];
//!   [`transaction`] isolates them from each other.
//! * [`watches`] says whom a change concerns, [`outbox`] bounds what waits for a client.
//! * [`wire`] takes messages apart, [`request`] says what each means, [`control`] is for administrators.
#![forbid(unsafe_code)]

pub mod client;
pub mod control;
pub mod domains;
pub mod operation;
pub mod outbox;
pub mod path;
pub mod perms;
pub mod quota;
pub mod record;
pub mod request;
pub mod transaction;
pub mod tree;
pub mod watches;
pub mod wire;

#[cfg(test)]
mod property_tests;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use client::Client;
use domains::Domain;
use guest_abi::ids::DomId;
use operation::{Caller, Change};
use path::{Path, Special};
use perms::{Access, Actor, Perms};
use quota::{Quota, Quotas, Refusal};
use record::Record;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tree::Tree;
use watches::{Watch, Watches, may_know};

/// Bytes of old nodes that a guest's transaction may keep alive before its snapshot is given up.
const GUEST_SNAPSHOT_BYTES: u64 = 16 << 20;
/// The same for a client in the first domain.
const PRIVILEGED_SNAPSHOT_BYTES: u64 = 256 << 20;
/// How many bytes are copied between two looks for such transactions.
const SNAPSHOT_LOOK_BYTES: u64 = 1 << 20;
/// Bytes of events that may wait for a client in the first domain.
const PRIVILEGED_EVENT_BYTES: u64 = 16 << 20;

/// Who is connected.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ClientId {
    /// A domain, by its ring.
    Domain(DomId),
    /// A process of this domain, by a socket.
    Socket(u32),
}

/// What has been done since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Requests.
    pub requests: u64,
    /// Transactions that were committed.
    pub commits: u64,
    /// Transactions that met a conflict.
    pub conflicts: u64,
    /// Watch events that were queued.
    pub events: u64,
    /// Times that events of a client were replaced by one of each watch.
    pub coalesced: u64,
}

/// See the module.
pub struct Store {
    tree: Tree,
    special_perms: BTreeMap<Special, Perms>,
    watches: Watches,
    clients: BTreeMap<ClientId, Client>,
    domains: BTreeMap<DomId, Domain>,
    quotas: Quotas,
    counts: Counts,
    /// `None`: nobody keeps them.
    records: Option<Vec<Record>>,
    /// Clients with something to be sent.
    has_mail: BTreeSet<ClientId>,
    /// Bytes copied when transactions were last looked at.
    looked_at: u64,
}

impl Default for Store {
    fn default() -> Self {
        Self::new()
    }
}

impl Store {
    /// A store with nothing but the nodes by which clients know it.
    #[must_use]
    pub fn new() -> Self {
        let mut tree = Tree::new();
        for name in ["/tool", "/tool/xenstored"] {
            if let Ok(path) = Path::parse(name.as_bytes()) {
                tree.set(&path, Arc::default(), nobody_else());
            }
        }
        Self {
            tree,
            special_perms: BTreeMap::new(),
            watches: Watches::default(),
            clients: BTreeMap::new(),
            domains: BTreeMap::new(),
            quotas: Quotas::default(),
            counts: Counts::default(),
            records: None,
            has_mail: BTreeSet::new(),
            looked_at: 0,
        }
    }

    /// The nodes.
    #[must_use]
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// What has been done.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The limits of guests.
    pub fn quotas_mut(&mut self) -> &mut Quotas {
        &mut self.quotas
    }

    /// From now on, says what must survive a restart.
    pub fn keep_records(&mut self) {
        self.records.get_or_insert_default();
    }

    /// What has happened since the last call that must survive a restart.
    pub fn take_records(&mut self) -> Vec<Record> {
        self.records
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// A client that has something to be sent, each once until more is queued for it.
    pub fn next_with_mail(&mut self) -> Option<ClientId> {
        self.has_mail.pop_first()
    }

    /// The client, if it is connected.
    #[must_use]
    pub fn client(&self, id: ClientId) -> Option<&Client> {
        self.clients.get(&id)
    }

    /// The next message for the client.
    pub fn pop_message(&mut self, id: ClientId) -> Option<Vec<u8>> {
        self.clients.get_mut(&id)?.outbox.pop()
    }

    /// Whether the client may ask for more before it has taken what waits for it; `unsent` is the number
    /// of answers that have left the outbox and have not been taken.
    pub fn may_ask(&mut self, id: ClientId, unsent: usize) -> bool {
        let Some(client) = self.clients.get_mut(&id) else {
            return false;
        };
        if client.actor.is_privileged() {
            return true;
        }
        let waiting = (client.outbox.answers() + unsent) as u64;
        let may_ask = waiting < self.quotas.get(Quota::Outstanding);
        if !may_ask {
            client.note(id, Quota::Outstanding, &self.quotas);
        }
        may_ask
    }

    fn record(&mut self, record: impl FnOnce() -> Record) {
        if let Some(records) = &mut self.records {
            records.push(record());
        }
    }

    /// What the client of `id` is to the tree.
    fn caller(&self, client: &Client) -> Caller<'_> {
        Caller {
            actor: client.actor,
            quotas: &self.quotas,
            other_bytes: client.bytes(),
        }
    }

    fn caller_of(&self, id: ClientId) -> Option<Caller<'_>> {
        Some(self.caller(self.clients.get(&id)?))
    }

    /// Says once in the log that a domain has reached a quota.
    fn note(&mut self, id: ClientId, refusal: Refusal) {
        if let (Refusal::Quota(quota), Some(client)) = (refusal, self.clients.get_mut(&id)) {
            client.note(id, quota, &self.quotas);
        }
    }

    fn note_memory(&mut self, id: ClientId) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        if client.actor.is_privileged() {
            return;
        }
        let used = self.tree.usage(client.actor.domain).bytes + client.bytes();
        if used > self.quotas.get(Quota::MemorySoft) {
            client.note(id, Quota::MemorySoft, &self.quotas);
        }
    }

    /// Tells those whom it concerns, and those who keep records.
    fn announce(&mut self, changes: &[Change]) {
        for change in changes {
            self.record_change(change);
            let (clients, tree) = (&mut self.clients, &self.tree);
            let mut told = Vec::new();
            self.watches.concerned(tree, change, |watch, path, perms| {
                let client = clients.get(&watch.client);
                if client.is_some_and(|client| may_know(&client.actor, perms)) {
                    told.push((watch.clone(), watch.shown(path).to_owned()));
                }
            });
            for (watch, shown) in told {
                self.tell(&watch, &shown);
            }
        }
        self.give_up_snapshots();
    }

    fn announce_special(&mut self, special: Special) {
        let perms = self.perms_of_special(special);
        let watches: Vec<_> = self.watches.of_special(special).cloned().collect();
        for watch in watches {
            let client = self.clients.get(&watch.client);
            if client.is_some_and(|client| may_know(&client.actor, &[&perms])) {
                self.tell(&watch, special.name());
            }
        }
    }

    fn perms_of_special(&self, special: Special) -> Perms {
        let set = self.special_perms.get(&special);
        set.cloned().unwrap_or_else(nobody_else)
    }

    fn tell(&mut self, watch: &Arc<Watch>, shown: &str) {
        let Some(client) = self.clients.get_mut(&watch.client) else {
            return;
        };
        client.outbox.push_event(&watch.name, shown.as_bytes());
        self.counts.events += 1;
        self.has_mail.insert(watch.client);
        let limit = if client.actor.is_privileged() {
            PRIVILEGED_EVENT_BYTES
        } else {
            self.quotas.get(Quota::EventBytes)
        };
        // Where even one event of each watch is more than the limit, this is not tried at every event.
        if client.outbox.event_bytes() > limit.max(2 * client.coalesced_bytes) {
            client.note(watch.client, Quota::EventBytes, &self.quotas);
            client.coalesce();
            self.counts.coalesced += 1;
        }
    }

    /// Bounds what transactions that never end keep alive.
    fn give_up_snapshots(&mut self) {
        if self.tree.copied_bytes().saturating_sub(self.looked_at) < SNAPSHOT_LOOK_BYTES {
            return;
        }
        self.looked_at = self.tree.copied_bytes();
        for (id, client) in &mut self.clients {
            let limit = if client.actor.is_privileged() {
                PRIVILEGED_SNAPSHOT_BYTES
            } else {
                GUEST_SNAPSHOT_BYTES
            };
            for (number, transaction) in &mut client.transactions {
                if transaction.kept_alive(&self.tree) > limit {
                    log::debug!(
                        "{id}: transaction {number} has been open while {limit} bytes were replaced; it will end in a conflict"
                    );
                    transaction.doom();
                }
            }
        }
    }

    fn record_change(&mut self, change: &Change) {
        if self.records.is_none() {
            return;
        }
        match change {
            Change::Made(path) | Change::Written(path) | Change::PermsSet(path, _) => {
                // Gone again if a later change of the same transaction has removed it.
                if let Some(node) = self.tree.get(path).cloned() {
                    self.record(|| Record::node(path, &node));
                }
            }
            Change::Removed(path, _) => self.record(|| Record::Removed {
                path: path.as_str().into(),
            }),
        }
    }
}

fn nobody_else() -> Perms {
    Perms::owned_by(DomId::DOM0, Access::empty())
}

impl std::fmt::Display for ClientId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Domain(domain) => write!(f, "domain {}", domain.0),
            Self::Socket(number) => write!(f, "local client {number}"),
        }
    }
}

/// A client's rights when it connects.
fn actor_of(id: ClientId, target: Option<DomId>) -> Actor {
    match id {
        ClientId::Domain(domain) => Actor { domain, target },
        ClientId::Socket(_) => Actor::DOM0,
    }
}
