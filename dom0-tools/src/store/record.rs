//! What must survive a restart, and taking it up again.
//!
//! Only what concerns domains is kept, since connections by sockets end with the daemon. A domain's
//! open transactions are kept by number: they end in a conflict after a restart, which makes
//! its kernel try once more. Its watches are kept, and told once after a restart. Answers that it has not
//! taken are kept by the daemon as [`Record::Stream`].

use super::client::{Client, Mode};
use super::domains::Domain;
use super::outbox::WatchName;
use super::path::{Named, Path, Special};
use super::perms::Perms;
use super::transaction::Transaction;
use super::tree::{Node, Tree};
use super::watches::Watch;
use super::{ClientId, Store, actor_of};
use guest_abi::ids::{DomId, Port};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Something that must survive a restart.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Record {
    /// A node has these contents.
    Node {
        /// Its name.
        path: String,
        /// Its value.
        value: Arc<[u8]>,
        /// Its permissions, as they travel.
        perms: Vec<u8>,
    },
    /// A node and what was below it is gone.
    Removed {
        /// Its name.
        path: String,
    },
    /// Who may be told of what happens to domains.
    SpecialPerms {
        /// Its name.
        name: String,
        /// Permissions, as they travel.
        perms: Vec<u8>,
    },
    /// A domain is known.
    Domain {
        /// Which.
        domain: u16,
        /// The frame of its ring.
        gfn: u64,
        /// The port of its ring.
        port: u32,
        /// Whether it has shut down.
        is_shut_down: bool,
        /// The domain whose rights it has.
        target: Option<u16>,
    },
    /// A domain is not known any more.
    DomainGone {
        /// Which.
        domain: u16,
    },
    /// A domain watches something.
    Watch {
        /// Which.
        domain: u16,
        /// What.
        named: Vec<u8>,
        /// Its token.
        token: Vec<u8>,
        /// Levels of which it is told.
        depth: Option<u32>,
        /// Whether the name was relative.
        is_relative: bool,
    },
    /// It does not any more.
    Unwatch {
        /// Which domain.
        domain: u16,
        /// What.
        named: Vec<u8>,
        /// The token.
        token: Vec<u8>,
    },
    /// A domain has begun a transaction.
    TransactionBegun {
        /// Which domain.
        domain: u16,
        /// The transaction's number.
        number: u32,
    },
    /// It has ended it.
    TransactionEnded {
        /// Which domain.
        domain: u16,
        /// The transaction's number.
        number: u32,
    },
    /// A domain's watches and transactions are undone.
    Reset {
        /// Which domain.
        domain: u16,
    },
    /// How far the streams of a domain's ring are.
    Stream(StreamRecord),
}

/// How far the streams of a domain's ring are. Replaces what was known of them.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct StreamRecord {
    /// Which domain.
    pub domain: u16,
    /// The ring's index up to which requests have been taken.
    pub taken: u32,
    /// What has been taken of a message whose rest has not arrived.
    pub partial: Vec<u8>,
    /// The ring's index at which `unsent` begins.
    pub unsent_at: u32,
    /// What is to be sent.
    pub unsent: Vec<u8>,
}

impl Record {
    /// A node's record.
    #[must_use]
    pub fn node(path: &Path, node: &Node) -> Self {
        Self::Node {
            path: path.as_str().into(),
            value: node.value().clone(),
            perms: node.perms().to_wire(),
        }
    }

    pub(super) fn watch(domain: DomId, watch: &Watch) -> Self {
        Self::Watch {
            domain: domain.0,
            named: name_bytes(&watch.name.named),
            token: watch.name.token.to_vec(),
            depth: watch.depth,
            is_relative: watch.relative_to.is_some(),
        }
    }

    pub(super) fn unwatch(domain: DomId, name: &WatchName) -> Self {
        Self::Unwatch {
            domain: domain.0,
            named: name_bytes(&name.named),
            token: name.token.to_vec(),
        }
    }

    pub(super) fn domain(id: DomId, domain: &Domain) -> Self {
        Self::Domain {
            domain: id.0,
            gfn: domain.gfn,
            port: domain.port.0,
            is_shut_down: domain.is_shut_down,
            target: domain.target.map(|target| target.0),
        }
    }
}

fn name_bytes(named: &Named) -> Vec<u8> {
    match named {
        Named::Node(path) => path.as_str().into(),
        Named::Special(special) => special.name().into(),
    }
}

/// A record that this version of the store can't have written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Damaged;

impl Store {
    /// Takes up the tree, domains, watches and transactions of a former run. [`Record::Stream`] is for
    /// the daemon.
    ///
    /// # Errors
    ///
    /// [`Damaged`] if the records are not what a store writes.
    pub fn restore(&mut self, records: impl IntoIterator<Item = Record>) -> Result<(), Damaged> {
        self.tree = Tree::new();
        for record in records {
            self.restore_one(record)?;
        }
        Ok(())
    }

    fn restore_one(&mut self, record: Record) -> Result<(), Damaged> {
        match record {
            Record::Node { path, value, perms } => {
                let path = Path::parse(path.as_bytes()).map_err(|_| Damaged)?;
                if !self.tree.set(&path, value, perms_of(&perms)?) {
                    return Err(Damaged);
                }
            }
            Record::Removed { path } => {
                let path = Path::parse(path.as_bytes()).map_err(|_| Damaged)?;
                self.tree.remove(&path);
            }
            Record::SpecialPerms { name, perms } => {
                let special = Special::ALL.into_iter().find(|one| one.name() == name);
                let special = special.ok_or(Damaged)?;
                self.special_perms.insert(special, perms_of(&perms)?);
            }
            Record::Domain {
                domain,
                gfn,
                port,
                is_shut_down,
                target,
            } => {
                let domain = DomId(domain);
                let id = ClientId::Domain(domain);
                let target = target.map(DomId);
                let actor = actor_of(id, target);
                self.clients
                    .entry(id)
                    .or_insert_with(|| Client::new(actor, Mode::ReadWrite))
                    .actor = actor;
                let known = Domain {
                    gfn,
                    port: Port(port),
                    is_shut_down,
                    target,
                };
                self.domains.insert(domain, known);
            }
            Record::DomainGone { domain } => {
                let domain = DomId(domain);
                self.domains.remove(&domain);
                self.disconnect(ClientId::Domain(domain));
            }
            Record::Watch {
                domain,
                named,
                token,
                depth,
                is_relative,
            } => {
                let domain = DomId(domain);
                let id = ClientId::Domain(domain);
                let name = WatchName {
                    named: Named::parse(&named, domain).map_err(|_| Damaged)?,
                    token: token.into(),
                };
                let watch = Arc::new(Watch {
                    client: id,
                    name: Arc::new(name),
                    depth,
                    relative_to: is_relative.then_some(domain),
                });
                let client = self.clients.get_mut(&id).ok_or(Damaged)?;
                client.add_watch(watch.clone());
                self.watches.add(watch);
            }
            Record::Unwatch {
                domain,
                named,
                token,
            } => {
                let domain = DomId(domain);
                let name = WatchName {
                    named: Named::parse(&named, domain).map_err(|_| Damaged)?,
                    token: token.into(),
                };
                let client = self.clients.get_mut(&ClientId::Domain(domain));
                let watch = client.ok_or(Damaged)?.remove_watch(&name);
                self.watches.remove(&watch.ok_or(Damaged)?);
            }
            Record::TransactionBegun { domain, number } => {
                let client = self.clients.get_mut(&ClientId::Domain(DomId(domain)));
                let transactions = &mut client.ok_or(Damaged)?.transactions;
                transactions.insert(number, Transaction::doomed());
            }
            Record::TransactionEnded { domain, number } => {
                let client = self.clients.get_mut(&ClientId::Domain(DomId(domain)));
                client.ok_or(Damaged)?.transactions.remove(&number);
            }
            Record::Reset { domain } => self.reset(ClientId::Domain(DomId(domain))),
            Record::Stream(_) => {}
        }
        Ok(())
    }

    /// Tells every watch of every domain once: after a restart nobody knows what was missed.
    pub fn tell_everybody(&mut self) {
        let watches: Vec<_> = self.watches.iter().cloned().collect();
        for watch in watches {
            self.tell(&watch, watch.shown_itself());
        }
    }

    /// Everything that must survive a restart, but for [`Record::Stream`].
    pub fn all_records(&self) -> impl Iterator<Item = Record> {
        let nodes = self
            .tree
            .nodes()
            .map(|(path, node)| Record::node(&path, node));
        let specials = self.special_perms.iter().map(|(special, perms)| {
            let name = special.name().to_owned();
            let perms = perms.to_wire();
            Record::SpecialPerms { name, perms }
        });
        let domains = self.domains.iter().flat_map(|(&id, domain)| {
            let itself = std::iter::once(Record::domain(id, domain));
            let client = self.clients.get(&ClientId::Domain(id));
            let watches = client
                .into_iter()
                .flat_map(|client| client.watches.values());
            let transactions = client
                .into_iter()
                .flat_map(|client| client.transactions.keys());
            itself
                .chain(watches.map(move |watch| Record::watch(id, watch)))
                .chain(transactions.map(move |&number| Record::TransactionBegun {
                    domain: id.0,
                    number,
                }))
        });
        nodes.chain(specials).chain(domains)
    }
}

fn perms_of(wire: &[u8]) -> Result<Perms, Damaged> {
    let texts = wire.strip_suffix(&[0]).ok_or(Damaged)?;
    Perms::parse(texts.split(|&byte| byte == 0)).map_err(|_| Damaged)
}
