//! Transactions: a client works on a snapshot, and what it has seen and done is tried again at the end.
//!
//! # When there is a conflict
//!
//! A transaction remembers its requests. At the end they are repeated, in order, on the snapshot and on
//! the tree as it is now. If every request has the same outcome on both, the client can't tell that it
//! did not work on the tree as it is now, and the latter with the changes is the new tree. Otherwise the
//! client is told `EAGAIN`. So there is a conflict if and only if the client saw something that is no
//! longer true; two clients that write different nodes, or the same node without looking at it, never
//! disturb each other.

use super::operation::{Caller, Change, Operation, Outcome, perform};
use super::path::Path;
use super::quota::{Quota, Refusal};
use super::tree::Tree;
use std::collections::HashMap;

/// A transaction that has begun.
pub struct Transaction {
    /// The tree at the start, and with the changes. `None`: it can only end in a conflict, because its
    /// snapshot was given up or was lost in a restart.
    state: Option<State>,
    log: Vec<Operation>,
    log_bytes: u64,
}

struct State {
    start: Tree,
    current: Tree,
    /// What was asked for, with the number of changes before: asking once more has the same outcome.
    asked: HashMap<(std::mem::Discriminant<Operation>, Path), usize>,
    changes: usize,
}

/// Something that the client has seen is no longer true.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Conflict;

impl Transaction {
    /// Begins with the tree as it is.
    #[must_use]
    pub fn begin(tree: &Tree) -> Self {
        Self {
            state: Some(State {
                start: tree.clone(),
                current: tree.clone(),
                asked: HashMap::new(),
                changes: 0,
            }),
            log: Vec::new(),
            log_bytes: 0,
        }
    }

    /// One that can only end in a conflict. Its requests are answered from the tree as it is then.
    #[must_use]
    pub fn doomed() -> Self {
        Self {
            state: None,
            log: Vec::new(),
            log_bytes: 0,
        }
    }

    /// Gives up the snapshot.
    pub fn doom(&mut self) {
        *self = Self::doomed();
    }

    /// Whether it can only end in a conflict.
    #[must_use]
    pub fn is_doomed(&self) -> bool {
        self.state.is_none()
    }

    /// Bytes of the tree that have been copied since the start because snapshots shared them.
    #[must_use]
    pub fn kept_alive(&self, tree: &Tree) -> u64 {
        self.state.as_ref().map_or(0, |state| {
            tree.copied_bytes()
                .saturating_sub(state.start.copied_bytes())
        })
    }

    /// Bytes that it costs to remember the requests.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.log_bytes
    }

    /// Requests that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.log.len()
    }

    /// Whether nothing has been asked for yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.log.is_empty()
    }

    /// Does what `operation` says in the transaction. `tree` is the tree as it is.
    ///
    /// # Errors
    ///
    /// The reason for a refusal.
    pub fn perform(
        &mut self,
        tree: &Tree,
        caller: &Caller<'_>,
        operation: Operation,
    ) -> Result<Outcome, Refusal> {
        let Some(state) = &mut self.state else {
            return perform(&mut tree.clone(), caller, &operation, &mut Vec::new());
        };
        let question = (std::mem::discriminant(&operation), operation.path().clone());
        let is_known = !operation.is_change() && state.asked.get(&question) == Some(&state.changes);
        if !is_known && !caller.actor.is_privileged() {
            let quotas = caller.quotas;
            if self.log.len() as u64 >= quotas.get(Quota::TransactionNodes) {
                return Err(Quota::TransactionNodes.into());
            }
            let used = tree.usage(caller.actor.domain).bytes + caller.other_bytes;
            if used + operation.bytes() > quotas.get(Quota::MemoryHard) {
                return Err(Quota::MemoryHard.into());
            }
        }
        let mut changes = Vec::new();
        let outcome = perform(&mut state.current, caller, &operation, &mut changes);
        if !changes.is_empty() {
            state.changes += 1;
        }
        if !is_known {
            if !operation.is_change() {
                state.asked.insert(question, state.changes);
            }
            self.log_bytes += operation.bytes();
            self.log.push(operation);
        }
        outcome
    }

    /// Ends it: the new tree and what has changed.
    ///
    /// # Errors
    ///
    /// [`Conflict`] if the client has seen something that is not true in `tree`.
    pub fn commit(self, tree: &Tree, caller: &Caller<'_>) -> Result<(Tree, Vec<Change>), Conflict> {
        let state = self.state.ok_or(Conflict)?;
        let mut start = state.start;
        drop(state.current);
        let is_unchanged = start.is_same(tree);
        let mut committed = tree.clone();
        let mut changes = Vec::new();
        for operation in &self.log {
            let outcome = perform(&mut committed, caller, operation, &mut changes);
            if is_unchanged {
                continue;
            }
            let seen = perform(&mut start, caller, operation, &mut Vec::new());
            let is_same = match (&outcome, &seen) {
                (Ok(outcome), Ok(seen)) => outcome.is_same(seen),
                (Err(outcome), Err(seen)) => outcome == seen,
                _ => false,
            };
            if !is_same {
                return Err(Conflict);
            }
        }
        Ok((committed, changes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::perms::Actor;
    use crate::store::quota::Quotas;
    use guest_abi::errno::Errno;
    use guest_abi::ids::DomId;

    const QUOTAS: fn() -> Quotas = Quotas::default;

    fn path(text: &str) -> Path {
        Path::parse(text.as_bytes()).unwrap()
    }

    fn caller(quotas: &Quotas) -> Caller<'_> {
        Caller {
            actor: Actor::DOM0,
            quotas,
            other_bytes: 0,
        }
    }

    fn write(name: &str, value: &str) -> Operation {
        Operation::Write(path(name), value.as_bytes().into())
    }

    /// Runs `inside` in a transaction while `outside` happens: whether it could be committed.
    fn is_committed(inside: &[Operation], outside: &[Operation]) -> bool {
        let quotas = QUOTAS();
        let caller = caller(&quotas);
        let mut tree = Tree::new();
        for name in ["/a", "/a/x", "/b"] {
            perform(&mut tree, &caller, &write(name, "0"), &mut Vec::new()).unwrap();
        }
        let mut transaction = Transaction::begin(&tree);
        for operation in inside {
            let _ = transaction.perform(&tree, &caller, operation.clone());
        }
        for operation in outside {
            perform(&mut tree, &caller, operation, &mut Vec::new()).unwrap();
        }
        transaction.commit(&tree, &caller).is_ok()
    }

    #[test]
    fn what_was_seen_and_is_no_longer_true_is_a_conflict() {
        let read = |name| Operation::Read(path(name));
        let list = |name| Operation::Directory(path(name));
        let remove = |name| Operation::Remove(path(name));
        assert!(!is_committed(&[read("/a")], &[write("/a", "1")]));
        assert!(!is_committed(&[read("/new")], &[write("/new", "1")]));
        assert!(!is_committed(&[read("/a/x")], &[remove("/a")]));
        assert!(!is_committed(&[list("/a")], &[write("/a/y", "1")]));
        assert!(!is_committed(&[remove("/new/y")], &[write("/new", "")]));
    }

    #[test]
    fn what_was_not_seen_is_none() {
        let read = |name| Operation::Read(path(name));
        let list = |name| Operation::Directory(path(name));
        assert!(is_committed(&[read("/a")], &[write("/b", "1")]));
        assert!(is_committed(&[read("/a")], &[write("/a", "0")]));
        assert!(is_committed(&[read("/a")], &[write("/a/y", "1")]));
        assert!(is_committed(&[list("/a")], &[write("/a/x", "1")]));
        assert!(is_committed(&[write("/a", "1")], &[write("/a", "2")]));
        assert!(is_committed(&[write("/n/1", "1")], &[write("/n/2", "2")]));
        assert!(is_committed(
            &[write("/a", "1"), read("/a")],
            &[write("/a", "2")]
        ));
    }

    #[test]
    fn asking_once_more_is_not_remembered() {
        let quotas = QUOTAS();
        let caller = caller(&quotas);
        let tree = Tree::new();
        let mut transaction = Transaction::begin(&tree);
        for _ in 0..3 {
            let _ = transaction.perform(&tree, &caller, Operation::Read(path("/a")));
        }
        assert_eq!(transaction.len(), 1);
        transaction
            .perform(&tree, &caller, write("/a", "1"))
            .unwrap();
        for _ in 0..3 {
            transaction
                .perform(&tree, &caller, Operation::Read(path("/a")))
                .unwrap();
        }
        assert_eq!(transaction.len(), 3);
    }

    #[test]
    fn a_guest_can_do_so_much_in_a_transaction() {
        let quotas = QUOTAS();
        let caller = Caller {
            actor: Actor::domain(DomId(3)),
            quotas: &quotas,
            other_bytes: 0,
        };
        let tree = Tree::new();
        let mut transaction = Transaction::begin(&tree);
        let mut ask = |number: u32| {
            let operation = Operation::Read(path(&format!("/{number}")));
            transaction
                .perform(&tree, &caller, operation)
                .map(|_| ())
                .unwrap_err()
        };
        for number in 0..1024 {
            assert_eq!(ask(number), Refusal::Error(Errno::EACCES));
        }
        assert_eq!(ask(1024), Refusal::Quota(Quota::TransactionNodes));
        assert_eq!(ask(1), Refusal::Error(Errno::EACCES));
    }

    #[test]
    fn without_a_snapshot_it_answers_but_never_commits() {
        let quotas = QUOTAS();
        let caller = caller(&quotas);
        let mut tree = Tree::new();
        perform(&mut tree, &caller, &write("/a", "1"), &mut Vec::new()).unwrap();
        let mut transaction = Transaction::begin(&tree);
        transaction.doom();
        transaction
            .perform(&tree, &caller, write("/b", "1"))
            .unwrap();
        let outcome = transaction.perform(&tree, &caller, Operation::Read(path("/a")));
        assert!(matches!(outcome, Ok(Outcome::Value(value)) if &*value == b"1"));
        assert!(tree.get(&path("/b")).is_none());
        assert_eq!(transaction.commit(&tree, &caller).err(), Some(Conflict));
    }
}
