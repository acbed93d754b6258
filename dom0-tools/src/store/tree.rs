//! The tree of nodes. Plain data: permissions and quotas are asked for in [`operation`](super::operation).
//!
//! A clone of the tree is a snapshot and costs next to nothing: nodes are shared, and whoever changes
//! one that is shared copies it and the nodes above it first.

use super::path::Path;
use super::perms::{Access, Perms};
use guest_abi::ids::DomId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes that a node costs besides its name, value and permissions.
const NODE_BYTES: u64 = 160;
/// Bytes that an entry in a list of permissions costs.
const ENTRY_BYTES: u64 = 4;
/// Bytes that one child costs when a node is copied.
const CHILD_COPY_BYTES: u64 = 40;

/// A node.
#[derive(Clone, Debug)]
pub struct Node {
    value: Arc<[u8]>,
    perms: Perms,
    children: BTreeMap<Arc<str>, Arc<Node>>,
    generation: u64,
}

impl Node {
    fn new(value: Arc<[u8]>, perms: Perms, generation: u64) -> Self {
        Self {
            value,
            perms,
            children: BTreeMap::new(),
            generation,
        }
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> &Arc<[u8]> {
        &self.value
    }

    /// Who may do what.
    #[must_use]
    pub fn perms(&self) -> &Perms {
        &self.perms
    }

    /// The children with their names, in order.
    pub fn children(&self) -> impl ExactSizeIterator<Item = (&str, &Arc<Self>)> {
        self.children.iter().map(|(name, node)| (&**name, node))
    }

    /// A number that changes whenever a child comes or goes.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The node by a name relative to this one; the empty name is this one.
    #[must_use]
    pub fn find(&self, relative: &str) -> Option<&Self> {
        let mut names = relative.split('/').filter(|name| !name.is_empty());
        names.try_fold(self, |node, name| {
            node.children.get(name).map(|child| &**child)
        })
    }

    fn bytes(&self, name: &str) -> u64 {
        let entries = self.perms.entries().len() as u64;
        NODE_BYTES + name.len() as u64 + self.value.len() as u64 + entries * ENTRY_BYTES
    }

    fn copy_bytes(&self) -> u64 {
        NODE_BYTES + self.value.len() as u64 + self.children.len() as u64 * CHILD_COPY_BYTES
    }
}

/// What a domain's nodes cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// Nodes that it owns.
    pub nodes: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// All nodes.
#[derive(Clone, Debug)]
pub struct Tree {
    root: Arc<Node>,
    usage: Arc<BTreeMap<DomId, Usage>>,
    generation: u64,
    copied_bytes: u64,
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

impl Tree {
    /// A tree with a root that belongs to the first domain, and that nobody else may touch.
    #[must_use]
    pub fn new() -> Self {
        let perms = Perms::owned_by(DomId::DOM0, Access::empty());
        let mut tree = Self {
            root: Arc::new(Node::new(Arc::default(), perms, 0)),
            usage: Arc::default(),
            generation: 0,
            copied_bytes: 0,
        };
        tree.account(DomId::DOM0, |usage| *usage = tree_root_usage());
        tree
    }

    /// The node of this name.
    #[must_use]
    pub fn get(&self, path: &Path) -> Option<&Arc<Node>> {
        let mut names = path.components();
        names.try_fold(&self.root, |node, name| node.children.get(name))
    }

    /// The node of this name, or the nearest one above that exists.
    #[must_use]
    pub fn nearest(&self, path: &Path) -> &Node {
        let mut node = &self.root;
        for name in path.components() {
            match node.children.get(name) {
                Some(child) => node = child,
                None => break,
            }
        }
        node
    }

    /// What the domain's nodes cost.
    #[must_use]
    pub fn usage(&self, domain: DomId) -> Usage {
        self.usage.get(&domain).copied().unwrap_or_default()
    }

    /// What all nodes cost.
    #[must_use]
    pub fn total_usage(&self) -> Usage {
        self.usage
            .values()
            .fold(Usage::default(), |sum, one| Usage {
                nodes: sum.nodes + one.nodes,
                bytes: sum.bytes + one.bytes,
            })
    }

    /// Bytes that have been copied because a snapshot shared them, since ever. A snapshot keeps no more
    /// bytes alive than this number has grown since it was taken.
    #[must_use]
    pub fn copied_bytes(&self) -> u64 {
        self.copied_bytes
    }

    /// Whether this is the same state of the same tree.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.root, &other.root)
    }

    /// Bytes by which the node's cost would grow with another value; 0 when it would shrink.
    #[must_use]
    pub fn growth(node: &Node, value: &[u8]) -> u64 {
        (value.len() as u64).saturating_sub(node.value.len() as u64)
    }

    /// What a node of this name and value would cost.
    #[must_use]
    pub fn cost(name: &str, value: &[u8], perms: &Perms) -> u64 {
        let entries = perms.entries().len() as u64;
        NODE_BYTES + name.len() as u64 + value.len() as u64 + entries * ENTRY_BYTES
    }

    /// Makes a node below an existing one, or gives an existing one other contents. `false`, and nothing
    /// done, if there is no parent.
    pub fn set(&mut self, path: &Path, value: Arc<[u8]>, perms: Perms) -> bool {
        if let Some(old) = self.get(path) {
            let (old_owner, old_bytes) = (old.perms.owner(), old.bytes(path.leaf()));
            let new_bytes = Self::cost(path.leaf(), &value, &perms);
            self.discharge(old_owner, old_bytes);
            self.charge(perms.owner(), new_bytes);
            if let Some(node) = self.node_mut(path) {
                node.value = value;
                node.perms = perms;
            }
            return true;
        }
        let Some(parent) = path.parent().filter(|parent| self.get(parent).is_some()) else {
            return false;
        };
        self.generation += 1;
        let generation = self.generation;
        self.charge(perms.owner(), Self::cost(path.leaf(), &value, &perms));
        if let Some(parent) = self.node_mut(&parent) {
            parent.generation = generation;
            let node = Node::new(value, perms, generation);
            parent.children.insert(path.leaf().into(), Arc::new(node));
        }
        true
    }

    /// Removes a node and what is below it. The root stays.
    pub fn remove(&mut self, path: &Path) -> Option<Arc<Node>> {
        let parent = path.parent()?;
        self.get(path)?;
        self.generation += 1;
        let generation = self.generation;
        let parent = self.node_mut(&parent)?;
        parent.generation = generation;
        let removed = parent.children.remove(path.leaf())?;
        let mut rest = vec![(path.leaf(), &*removed)];
        while let Some((name, node)) = rest.pop() {
            self.discharge(node.perms.owner(), node.bytes(name));
            rest.extend(node.children().map(|(name, child)| (name, &**child)));
        }
        Some(removed)
    }

    /// Every node, parents before their children.
    #[must_use]
    pub fn nodes(&self) -> Nodes<'_> {
        Nodes {
            rest: vec![(Path::root(), &self.root)],
        }
    }

    fn node_mut(&mut self, path: &Path) -> Option<&mut Node> {
        let mut node = own(&mut self.root, &mut self.copied_bytes);
        for name in path.components() {
            node = own(node.children.get_mut(name)?, &mut self.copied_bytes);
        }
        Some(node)
    }

    fn charge(&mut self, owner: DomId, bytes: u64) {
        self.account(owner, |usage| {
            usage.nodes += 1;
            usage.bytes += bytes;
        });
    }

    fn discharge(&mut self, owner: DomId, bytes: u64) {
        self.account(owner, |usage| {
            usage.nodes = usage.nodes.saturating_sub(1);
            usage.bytes = usage.bytes.saturating_sub(bytes);
        });
    }

    fn account(&mut self, owner: DomId, change: impl FnOnce(&mut Usage)) {
        let all = Arc::make_mut(&mut self.usage);
        let usage = all.entry(owner).or_default();
        change(usage);
        if *usage == Usage::default() {
            all.remove(&owner);
        }
    }
}

fn tree_root_usage() -> Usage {
    Usage {
        nodes: 1,
        bytes: NODE_BYTES + ENTRY_BYTES,
    }
}

fn own<'a>(node: &'a mut Arc<Node>, copied_bytes: &mut u64) -> &'a mut Node {
    if Arc::strong_count(node) > 1 {
        *copied_bytes += node.copy_bytes();
    }
    Arc::make_mut(node)
}

/// See [`Tree::nodes`].
pub struct Nodes<'a> {
    rest: Vec<(Path, &'a Arc<Node>)>,
}

impl<'a> Iterator for Nodes<'a> {
    type Item = (Path, &'a Arc<Node>);

    fn next(&mut self) -> Option<Self::Item> {
        let (path, node) = self.rest.pop()?;
        let children = node.children.iter().rev();
        self.rest
            .extend(children.map(|(name, child)| (path.join(name), child)));
        Some((path, node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Path {
        Path::parse(text.as_bytes()).unwrap()
    }

    fn owned(domain: u16) -> Perms {
        Perms::owned_by(DomId(domain), Access::empty())
    }

    #[test]
    fn a_snapshot_does_not_change() {
        let mut tree = Tree::new();
        assert!(tree.set(&path("/a"), (*b"1").into(), owned(0)));
        assert!(tree.set(&path("/a/b"), (*b"2").into(), owned(3)));
        let before = tree.clone();
        assert!(before.is_same(&tree));
        assert!(tree.set(&path("/a/b"), (*b"3").into(), owned(3)));
        tree.remove(&path("/a/b")).unwrap();
        assert_eq!(&**before.get(&path("/a/b")).unwrap().value(), b"2");
        assert!(tree.get(&path("/a/b")).is_none());
        assert!(tree.copied_bytes() > 0 && !before.is_same(&tree));
    }

    #[test]
    fn what_domains_own_is_counted() {
        let mut tree = Tree::new();
        let empty = tree.clone();
        tree.set(&path("/a"), (*b"123").into(), owned(3));
        tree.set(&path("/a/b"), (*b"4").into(), owned(3));
        tree.set(&path("/a/b/c"), (*b"").into(), owned(4));
        assert_eq!(tree.usage(DomId(3)).nodes, 2);
        assert_eq!(
            tree.usage(DomId(3)).bytes,
            2 * (NODE_BYTES + ENTRY_BYTES + 1) + 4
        );
        tree.set(&path("/a/b"), (*b"4").into(), owned(5));
        assert_eq!(tree.usage(DomId(3)).nodes, 1);
        assert_eq!(tree.usage(DomId(5)).nodes, 1);
        tree.remove(&path("/a"));
        assert_eq!(tree.total_usage(), empty.total_usage());
        assert_eq!(tree.usage, empty.usage);
    }

    #[test]
    fn a_node_needs_its_parent() {
        let mut tree = Tree::new();
        assert!(!tree.set(&path("/a/b"), Arc::default(), owned(0)));
        assert!(tree.remove(&path("/a")).is_none());
        assert!(tree.remove(&Path::root()).is_none());
        assert_eq!(tree.nodes().count(), 1);
    }

    #[test]
    fn the_generation_changes_with_the_children_only() {
        let mut tree = Tree::new();
        tree.set(&path("/a"), Arc::default(), owned(0));
        let generation = |tree: &Tree| tree.get(&path("/a")).unwrap().generation();
        let first = generation(&tree);
        tree.set(&path("/a"), (*b"x").into(), owned(0));
        assert_eq!(generation(&tree), first);
        tree.set(&path("/a/b"), Arc::default(), owned(0));
        let second = generation(&tree);
        tree.remove(&path("/a/b"));
        assert!(first < second && second < generation(&tree));
    }

    #[test]
    fn all_nodes_are_listed_parents_first() {
        let mut tree = Tree::new();
        for name in ["/b", "/a", "/a/z", "/a/y"] {
            tree.set(&path(name), Arc::default(), owned(0));
        }
        let names: Vec<_> = tree.nodes().map(|(path, _)| path.to_string()).collect();
        assert_eq!(names, ["/", "/a", "/a/y", "/a/z", "/b"]);
    }
}
