//! Who wants to be told of what.

use super::ClientId;
use super::operation::Change;
use super::outbox::WatchName;
use super::path::{Named, Path, Special};
use super::perms::{Access, Perms};
use super::tree::Tree;
use guest_abi::ids::DomId;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// Bytes that a watch costs besides its texts.
const WATCH_BYTES: u64 = 200;

/// A watch.
#[derive(Debug)]
pub struct Watch {
    /// Whose.
    pub client: ClientId,
    /// What is watched, and the token.
    pub name: Arc<WatchName>,
    /// Levels below the node of which the client is told; `None`: all.
    pub depth: Option<u32>,
    /// The home that is left out of what the client is told, because it wrote a relative name.
    pub relative_to: Option<DomId>,
}

impl Watch {
    /// Bytes that it costs.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let path = match &self.name.named {
            Named::Node(path) => path.as_str().len(),
            Named::Special(_) => 0,
        };
        WATCH_BYTES + (path + self.name.token.len()) as u64
    }

    /// How the client is told of `path`.
    #[must_use]
    pub fn shown<'a>(&self, path: &'a str) -> &'a str {
        let Some(domain) = self.relative_to else {
            return path;
        };
        let home = Path::home(domain);
        let inside = path.strip_prefix(home.as_str());
        inside
            .and_then(|rest| rest.strip_prefix('/'))
            .unwrap_or(path)
    }

    /// How the client is told of what it watches.
    #[must_use]
    pub fn shown_itself(&self) -> &str {
        match &self.name.named {
            Named::Node(path) => self.shown(path.as_str()),
            Named::Special(special) => special.name(),
        }
    }

    fn reaches(&self, below: &str) -> bool {
        let levels = below.split('/').filter(|name| !name.is_empty()).count();
        self.depth
            .is_none_or(|depth| levels as u64 <= u64::from(depth))
    }
}

/// All watches, by what they are about.
#[derive(Default)]
pub struct Watches {
    nodes: BTreeMap<Path, Vec<Arc<Watch>>>,
    specials: BTreeMap<Special, Vec<Arc<Watch>>>,
}

impl Watches {
    /// Adds a watch.
    pub fn add(&mut self, watch: Arc<Watch>) {
        let list = match &watch.name.named {
            Named::Node(path) => self.nodes.entry(path.clone()).or_default(),
            Named::Special(special) => self.specials.entry(*special).or_default(),
        };
        list.push(watch);
    }

    /// Removes a watch.
    pub fn remove(&mut self, watch: &Arc<Watch>) {
        match &watch.name.named {
            Named::Node(path) => {
                if let Some(list) = self.nodes.get_mut(path) {
                    list.retain(|one| !Arc::ptr_eq(one, watch));
                    if list.is_empty() {
                        self.nodes.remove(path);
                    }
                }
            }
            Named::Special(special) => {
                if let Some(list) = self.specials.get_mut(special) {
                    list.retain(|one| !Arc::ptr_eq(one, watch));
                }
            }
        }
    }

    /// Every watch.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Watch>> {
        self.nodes.values().chain(self.specials.values()).flatten()
    }

    /// Those about something that happens to domains.
    pub fn of_special(&self, special: Special) -> impl Iterator<Item = &Arc<Watch>> {
        self.specials.get(&special).into_iter().flatten()
    }

    /// Calls `tell` with each watch that `change` concerns, the name of the node that its client is told
    /// of, and the permissions of which one must allow the client to read.
    pub fn concerned(
        &self,
        tree: &Tree,
        change: &Change,
        mut tell: impl FnMut(&Arc<Watch>, &str, &[&Perms]),
    ) {
        let (path, perms): (&Path, Vec<&Perms>) = match change {
            Change::Made(_) => return,
            Change::Written(path) => (path, vec![tree.nearest(path).perms()]),
            Change::PermsSet(path, old) => (path, vec![old, tree.nearest(path).perms()]),
            Change::Removed(path, node) => (path, vec![node.perms()]),
        };
        for name in path.with_ancestors() {
            let Some((watched, list)) = self.nodes.get_key_value(name) else {
                continue;
            };
            let below = path.below(watched).unwrap_or_default();
            for watch in list.iter().filter(|watch| watch.reaches(below)) {
                tell(watch, path.as_str(), &perms);
            }
        }
        let Change::Removed(path, node) = change else {
            return;
        };
        // Those about nodes that went with it: their names follow each other in the order of names.
        let prefix = path.join("");
        let following = (Bound::Excluded(prefix), Bound::Unbounded);
        for (watched, list) in self.nodes.range(following) {
            let Some(below) = watched.below(path) else {
                break;
            };
            let Some(removed) = node.find(below) else {
                continue;
            };
            for watch in list {
                tell(watch, watched.as_str(), &[removed.perms()]);
            }
        }
    }
}

/// Whether one of the lists allows the actor to read.
#[must_use]
pub fn may_know(actor: &super::perms::Actor, perms: &[&Perms]) -> bool {
    let mut lists = perms.iter();
    lists.any(|perms| perms.access_of(actor).contains(Access::READ))
}
