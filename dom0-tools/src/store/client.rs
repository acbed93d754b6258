//! What the store knows of one client.

use super::ClientId;
use super::operation::Operation;
use super::outbox::{Outbox, WatchName};
use super::perms::Actor;
use super::quota::{Quota, Quotas};
use super::transaction::Transaction;
use super::watches::Watch;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Bytes that an open transaction costs besides what it remembers.
const TRANSACTION_BYTES: u64 = 512;

/// Whether a client may change anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// It may.
    ReadWrite,
    /// It may only look.
    ReadOnly,
}

/// A client.
pub struct Client {
    pub(super) actor: Actor,
    pub(super) mode: Mode,
    pub(super) transactions: BTreeMap<u32, Transaction>,
    pub(super) watches: BTreeMap<WatchName, Arc<Watch>>,
    pub(super) outbox: Outbox,
    /// Bytes of events after they were last replaced by one of each watch.
    pub(super) coalesced_bytes: u64,
    watch_bytes: u64,
    last_transaction: u32,
    noted: BTreeSet<Quota>,
}

impl Client {
    pub(super) fn new(actor: Actor, mode: Mode) -> Self {
        Self {
            actor,
            mode,
            transactions: BTreeMap::new(),
            watches: BTreeMap::new(),
            outbox: Outbox::default(),
            coalesced_bytes: 0,
            watch_bytes: 0,
            last_transaction: 0,
            noted: BTreeSet::new(),
        }
    }

    /// Who it is.
    #[must_use]
    pub fn actor(&self) -> Actor {
        self.actor
    }

    /// What waits for it.
    #[must_use]
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Transactions that have begun.
    #[must_use]
    pub fn nr_transactions(&self) -> usize {
        self.transactions.len()
    }

    /// Watches.
    #[must_use]
    pub fn nr_watches(&self) -> usize {
        self.watches.len()
    }

    /// Bytes that its watches and transactions cost.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let transactions = self.transactions.values();
        let remembered: u64 = transactions
            .map(|one| TRANSACTION_BYTES + one.bytes())
            .sum();
        self.watch_bytes + remembered
    }

    pub(super) fn add_watch(&mut self, watch: Arc<Watch>) {
        self.watch_bytes += watch.bytes();
        self.watches.insert((*watch.name).clone(), watch);
    }

    pub(super) fn remove_watch(&mut self, name: &WatchName) -> Option<Arc<Watch>> {
        let watch = self.watches.remove(name)?;
        self.watch_bytes = self.watch_bytes.saturating_sub(watch.bytes());
        self.outbox.forget(name);
        Some(watch)
    }

    pub(super) fn remove_all_watches(&mut self) -> Vec<Arc<Watch>> {
        self.watch_bytes = 0;
        self.outbox.forget_events();
        std::mem::take(&mut self.watches).into_values().collect()
    }

    /// A number that no open transaction has; never 0.
    pub(super) fn new_transaction_number(&mut self) -> u32 {
        loop {
            self.last_transaction = self.last_transaction.wrapping_add(1);
            let number = self.last_transaction;
            if number != 0 && !self.transactions.contains_key(&number) {
                return number;
            }
        }
    }

    pub(super) fn coalesce(&mut self) {
        let watches = &self.watches;
        self.outbox.coalesce(|name| {
            let watch = watches.get(name);
            watch.map_or_else(Vec::new, |watch| watch.shown_itself().into())
        });
        self.coalesced_bytes = self.outbox.event_bytes();
    }

    /// Says once in the log that it has reached a quota.
    pub(super) fn note(&mut self, id: ClientId, quota: Quota, quotas: &Quotas) {
        if self.noted.insert(quota) {
            log::warn!(
                "{id} has reached its quota {} of {} {}: {}; this is said once",
                quota.name(),
                quotas.get(quota),
                quota.meaning(),
                quota.consequence()
            );
        }
    }
}

/// Whether an operation is for clients that may only look.
pub(super) fn is_allowed(mode: Mode, operation: &Operation) -> bool {
    mode == Mode::ReadWrite || !operation.is_change()
}
