//! What clients do to the tree: with permission, within quotas, outside of a transaction or in one.

use super::path::Path;
use super::perms::{Access, Actor, Perms};
use super::quota::{Quota, Quotas, Refusal};
use super::tree::{Node, Tree};
use guest_abi::errno::Errno;
use guest_abi::ids::DomId;
use std::sync::Arc;

/// A request about a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Operation {
    /// Ask for the value.
    Read(Path),
    /// Ask for the children.
    Directory(Path),
    /// Ask for the permissions.
    GetPerms(Path),
    /// Set the value; makes the node and those above it.
    Write(Path, Arc<[u8]>),
    /// Make the node and those above it.
    Mkdir(Path),
    /// Remove the node and what is below it.
    Remove(Path),
    /// Set the permissions.
    SetPerms(Path, Perms),
}

impl Operation {
    /// Which node.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Read(path)
            | Self::Directory(path)
            | Self::GetPerms(path)
            | Self::Write(path, _)
            | Self::Mkdir(path)
            | Self::Remove(path)
            | Self::SetPerms(path, _) => path,
        }
    }

    /// Whether it can change the tree.
    #[must_use]
    pub fn is_change(&self) -> bool {
        !matches!(self, Self::Read(_) | Self::Directory(_) | Self::GetPerms(_))
    }

    /// Bytes that remembering it costs.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let content = match self {
            Self::Write(_, value) => value.len(),
            Self::SetPerms(_, perms) => perms.entries().len() * 4,
            _ => 0,
        };
        (size_of::<Self>() + self.path().as_str().len() + content) as u64
    }
}

/// The answer to a request that was not refused.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The value.
    Value(Arc<[u8]>),
    /// The node whose children were asked for.
    Children(Arc<Node>),
    /// The permissions.
    Perms(Perms),
    /// It is done.
    Done,
}

impl Outcome {
    /// Whether a client sees no difference.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Value(one), Self::Value(other)) => one == other,
            (Self::Perms(one), Self::Perms(other)) => one == other,
            (Self::Children(one), Self::Children(other)) => {
                Arc::ptr_eq(one, other)
                    || one
                        .children()
                        .map(|(name, _)| name)
                        .eq(other.children().map(|(name, _)| name))
            }
            (Self::Done, Self::Done) => true,
            _ => false,
        }
    }
}

/// What has happened to the tree.
#[derive(Clone, Debug)]
pub enum Change {
    /// A node above the one that a client made was made as well. Watches are not told.
    Made(Path),
    /// A node was made, or its value was set.
    Written(Path),
    /// A node was removed with all that was below it.
    Removed(Path, Arc<Node>),
    /// A node's permissions were set; these were the old ones.
    PermsSet(Path, Perms),
}

/// Who asks, and what it may use.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// Who.
    pub actor: Actor,
    /// Its limits. They do not hold for who is privileged.
    pub quotas: &'a Quotas,
    /// Bytes that it uses besides its nodes.
    pub other_bytes: u64,
}

impl Caller<'_> {
    fn is_limited(&self) -> bool {
        !self.actor.is_privileged()
    }

    fn check(&self, quota: Quota, used: u64) -> Result<(), Refusal> {
        if self.is_limited() && used > self.quotas.get(quota) {
            return Err(quota.into());
        }
        Ok(())
    }

    /// Whether `owner` may use so many more nodes and bytes.
    fn check_growth(
        &self,
        tree: &Tree,
        owner: DomId,
        nodes: u64,
        bytes: u64,
    ) -> Result<(), Refusal> {
        let usage = tree.usage(owner);
        let other_bytes = if owner == self.actor.domain {
            self.other_bytes
        } else {
            0
        };
        if nodes > 0 {
            self.check(Quota::Nodes, usage.nodes + nodes)?;
        }
        if bytes > 0 {
            self.check(Quota::MemoryHard, usage.bytes + other_bytes + bytes)?;
        }
        Ok(())
    }
}

/// Does what `operation` says, and adds what has changed to `changes`. A refused request changes nothing.
///
/// # Errors
///
/// The reason for the refusal.
pub fn perform(
    tree: &mut Tree,
    caller: &Caller<'_>,
    operation: &Operation,
    changes: &mut Vec<Change>,
) -> Result<Outcome, Refusal> {
    let path = operation.path();
    caller.check(Quota::PathLength, path.part_in_home().len() as u64)?;
    match operation {
        Operation::Read(_) => {
            let node = existing(tree, caller, path, Access::READ)?;
            Ok(Outcome::Value(node.value().clone()))
        }
        Operation::Directory(_) => {
            let node = existing(tree, caller, path, Access::READ)?;
            Ok(Outcome::Children(node.clone()))
        }
        Operation::GetPerms(_) => {
            let node = existing(tree, caller, path, Access::READ)?;
            Ok(Outcome::Perms(node.perms().clone()))
        }
        Operation::Write(_, value) => write(tree, caller, path, value, changes),
        Operation::Mkdir(_) => match existing(tree, caller, path, Access::WRITE) {
            Ok(_) => Ok(Outcome::Done),
            Err(Errno::ENOENT) => make(tree, caller, path, &Arc::default(), changes),
            Err(error) => Err(error.into()),
        },
        Operation::Remove(_) => remove(tree, caller, path, changes),
        Operation::SetPerms(_, perms) => set_perms(tree, caller, path, perms, changes),
    }
}

/// The node, if it exists and the caller may. Where it does not exist, that is only told to who has the
/// right on the nearest node above.
fn existing<'t>(
    tree: &'t Tree,
    caller: &Caller<'_>,
    path: &Path,
    needed: Access,
) -> Result<&'t Arc<Node>, Errno> {
    match tree.get(path) {
        Some(node) if node.perms().access_of(&caller.actor).contains(needed) => Ok(node),
        Some(_) => Err(Errno::EACCES),
        None => {
            let above = tree.nearest(path).perms().access_of(&caller.actor);
            Err(if above.intersects(needed) {
                Errno::ENOENT
            } else {
                Errno::EACCES
            })
        }
    }
}

fn write(
    tree: &mut Tree,
    caller: &Caller<'_>,
    path: &Path,
    value: &Arc<[u8]>,
    changes: &mut Vec<Change>,
) -> Result<Outcome, Refusal> {
    let node = match existing(tree, caller, path, Access::WRITE) {
        Ok(node) => node,
        Err(Errno::ENOENT) => return make(tree, caller, path, value, changes),
        Err(error) => return Err(error.into()),
    };
    let perms = node.perms().clone();
    caller.check(Quota::NodeSize, node_size(value, &perms))?;
    caller.check_growth(tree, perms.owner(), 0, Tree::growth(node, value))?;
    tree.set(path, value.clone(), perms);
    changes.push(Change::Written(path.clone()));
    Ok(Outcome::Done)
}

/// Makes a node that does not exist, and those above it. The caller may write the nearest one above.
fn make(
    tree: &mut Tree,
    caller: &Caller<'_>,
    path: &Path,
    value: &Arc<[u8]>,
    changes: &mut Vec<Change>,
) -> Result<Outcome, Refusal> {
    let inherited = tree.nearest(path).perms();
    let perms = if caller.actor.is_privileged() {
        inherited.clone()
    } else {
        inherited.with_owner(caller.actor.domain)
    };
    caller.check(Quota::NodeSize, node_size(value, &perms))?;
    let mut missing = vec![path.clone()];
    let mut above = path.parent();
    while let Some(node) = above.filter(|above| tree.get(above).is_none()) {
        above = node.parent();
        missing.push(node);
    }
    let bytes = missing
        .iter()
        .map(|node| Tree::cost(node.leaf(), &[], &perms))
        .sum::<u64>()
        + value.len() as u64;
    caller.check_growth(tree, perms.owner(), missing.len() as u64, bytes)?;
    for node in missing.iter().skip(1).rev() {
        tree.set(node, Arc::default(), perms.clone());
        changes.push(Change::Made(node.clone()));
    }
    tree.set(path, value.clone(), perms);
    changes.push(Change::Written(path.clone()));
    Ok(Outcome::Done)
}

fn remove(
    tree: &mut Tree,
    caller: &Caller<'_>,
    path: &Path,
    changes: &mut Vec<Change>,
) -> Result<Outcome, Refusal> {
    match existing(tree, caller, path, Access::WRITE) {
        Ok(_) => {
            let removed = tree.remove(path).ok_or(Errno::EINVAL)?;
            changes.push(Change::Removed(path.clone(), removed));
            Ok(Outcome::Done)
        }
        Err(Errno::ENOENT) if path.parent().is_some_and(|node| tree.get(&node).is_some()) => {
            Ok(Outcome::Done)
        }
        Err(error) => Err(error.into()),
    }
}

fn set_perms(
    tree: &mut Tree,
    caller: &Caller<'_>,
    path: &Path,
    perms: &Perms,
    changes: &mut Vec<Change>,
) -> Result<Outcome, Refusal> {
    caller.check(Quota::Permissions, perms.entries().len() as u64)?;
    let node = existing(tree, caller, path, Access::WRITE | Access::OWN)?;
    let (old, value) = (node.perms().clone(), node.value().clone());
    if caller.is_limited() && perms.owner() != old.owner() {
        return Err(Errno::EPERM.into());
    }
    caller.check(Quota::NodeSize, node_size(&value, perms))?;
    tree.set(path, value, perms.clone());
    changes.push(Change::PermsSet(path.clone(), old));
    Ok(Outcome::Done)
}

fn node_size(value: &[u8], perms: &Perms) -> u64 {
    (value.len() + perms.entries().len() * 4) as u64
}

/// Takes all rights from a domain that is gone, so that a later one of the same number does not have
/// them. What it owned in its home the first domain owns from now on, and what it owned elsewhere is
/// removed: a guest that is started again and again can't fill the store.
pub fn revoke(tree: &mut Tree, domain: DomId) -> Vec<Change> {
    let home = Path::home(domain);
    let named: Vec<_> = tree
        .nodes()
        .filter_map(|(path, node)| Some((path, node.perms().without(domain)?, node.clone())))
        .collect();
    let mut changes = Vec::new();
    for (path, perms, node) in named {
        let is_stray = node.perms().owner() == domain && path.below(&home).is_none();
        if is_stray && !path.is_root() {
            // Not there any more if the node above was removed before.
            if let Some(removed) = tree.remove(&path) {
                changes.push(Change::Removed(path, removed));
            }
        } else if tree.get(&path).is_some() {
            let (value, old) = (node.value().clone(), node.perms().clone());
            tree.set(&path, value, perms);
            changes.push(Change::PermsSet(path, old));
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Path {
        Path::parse(text.as_bytes()).unwrap()
    }

    fn perms(text: &str) -> Perms {
        Perms::parse(text.split(' ').map(str::as_bytes)).unwrap()
    }

    fn run(tree: &mut Tree, domain: u16, operation: Operation) -> Result<Outcome, Errno> {
        let caller = Caller {
            actor: Actor::domain(DomId(domain)),
            quotas: &Quotas::default(),
            other_bytes: 0,
        };
        perform(tree, &caller, &operation, &mut Vec::new()).map_err(Refusal::errno)
    }

    fn write(tree: &mut Tree, domain: u16, name: &str, value: &[u8]) -> Result<(), Errno> {
        run(tree, domain, Operation::Write(path(name), value.into())).map(|_| ())
    }

    fn shown(tree: &Tree, name: &str) -> String {
        String::from_utf8(tree.get(&path(name)).unwrap().perms().to_wire())
            .unwrap()
            .replace('\0', " ")
    }

    fn with_home(domain: u16) -> Tree {
        let mut tree = Tree::new();
        let home = format!("/local/domain/{domain}");
        write(&mut tree, 0, &home, b"").unwrap();
        let owned = perms(&format!("n{domain} r9"));
        run(&mut tree, 0, Operation::SetPerms(path(&home), owned)).unwrap();
        tree
    }

    #[test]
    fn new_nodes_inherit_and_belong_to_who_makes_them() {
        let mut tree = with_home(3);
        write(&mut tree, 3, "/local/domain/3/a/b", b"x").unwrap();
        assert_eq!(shown(&tree, "/local/domain/3/a"), "n3 r9 ");
        write(&mut tree, 0, "/local/domain/3/c", b"x").unwrap();
        assert_eq!(shown(&tree, "/local/domain/3/c"), "n3 r9 ");
        run(
            &mut tree,
            0,
            Operation::SetPerms(path("/local/domain/3/c"), perms("b0 r3")),
        )
        .unwrap();
        write(&mut tree, 5, "/local/domain/3/c/d", b"x").unwrap();
        assert_eq!(shown(&tree, "/local/domain/3/c/d"), "b5 r3 ");
    }

    #[test]
    fn who_may_not_look_does_not_learn_what_exists() {
        let mut tree = with_home(3);
        let read = |tree: &mut Tree, domain, name| {
            run(tree, domain, Operation::Read(path(name))).map(|_| ())
        };
        assert_eq!(read(&mut tree, 4, "/local/domain/3"), Err(Errno::EACCES));
        assert_eq!(read(&mut tree, 4, "/local/domain/3/x"), Err(Errno::EACCES));
        assert_eq!(read(&mut tree, 9, "/local/domain/3/x"), Err(Errno::ENOENT));
        assert_eq!(
            write(&mut tree, 9, "/local/domain/3/x", b""),
            Err(Errno::EACCES)
        );
        assert_eq!(read(&mut tree, 3, "/local/domain/3/x"), Err(Errno::ENOENT));
    }

    #[test]
    fn removing_what_is_not_there_is_fine_where_the_parent_is() {
        let mut tree = with_home(3);
        let mut remove = |name| run(&mut tree, 3, Operation::Remove(path(name))).map(|_| ());
        assert_eq!(remove("/local/domain/3/x"), Ok(()));
        assert_eq!(remove("/local/domain/3/x/y"), Err(Errno::ENOENT));
        assert_eq!(remove("/local"), Err(Errno::EACCES));
        assert_eq!(
            run(&mut tree, 0, Operation::Remove(Path::root())).map(|_| ()),
            Err(Errno::EINVAL)
        );
    }

    #[test]
    fn only_the_owner_sets_permissions_and_no_guest_changes_owners() {
        let mut tree = with_home(3);
        let home = || path("/local/domain/3");
        let mut set = |domain, text| {
            run(&mut tree, domain, Operation::SetPerms(home(), perms(text))).map(|_| ())
        };
        assert_eq!(set(9, "n3 b9"), Err(Errno::EACCES));
        assert_eq!(set(3, "n9"), Err(Errno::EPERM));
        assert_eq!(set(3, "b3"), Ok(()));
        assert_eq!(set(3, "b3 n4 n5 n6 n7 n8"), Err(Errno::ENOSPC));
        assert_eq!(set(0, "b4 n4 n5 n6 n7 n8"), Ok(()));
    }

    #[test]
    fn quotas_hold_for_guests_and_not_for_the_first_domain() {
        let mut tree = with_home(3);
        let big = vec![0; 2045];
        assert_eq!(
            write(&mut tree, 3, "/local/domain/3/x", &big),
            Err(Errno::ENOSPC)
        );
        assert_eq!(write(&mut tree, 0, "/local/domain/3/x", &big), Ok(()));
        let first = tree.usage(DomId(3)).nodes;
        let mut made = first;
        while write(&mut tree, 3, &format!("/local/domain/3/{made}"), b"").is_ok() {
            made += 1;
        }
        assert_eq!(made, 1000);
        assert_eq!(write(&mut tree, 0, "/local/domain/3/more", b""), Ok(()));
        let fill = vec![0; 1900];
        let filled = (first..made).find(|number| {
            write(&mut tree, 3, &format!("/local/domain/3/{number}"), &fill).is_err()
        });
        assert_eq!(filled, None, "1000 nodes of full size fit the memory quota");
    }

    #[test]
    fn a_refused_request_changes_nothing() {
        let mut tree = with_home(3);
        let before = tree.clone();
        let deep = format!("/local/domain/3{}", "/x".repeat(1001));
        assert_eq!(write(&mut tree, 3, &deep, b""), Err(Errno::ENOSPC));
        assert!(tree.is_same(&before));
    }

    #[test]
    fn a_domain_that_is_gone_leaves_no_rights_and_nothing_outside_its_home() {
        let mut tree = with_home(3);
        write(&mut tree, 0, "/shared", b"").unwrap();
        run(
            &mut tree,
            0,
            Operation::SetPerms(path("/shared"), perms("n0 b3 r4")),
        )
        .unwrap();
        write(&mut tree, 3, "/shared/a/b", b"").unwrap();
        write(&mut tree, 3, "/local/domain/3/a", b"v").unwrap();
        let changes = revoke(&mut tree, DomId(3));
        assert_eq!(tree.usage(DomId(3)).nodes, 0);
        assert_eq!(shown(&tree, "/local/domain/3/a"), "n0 ");
        assert_eq!(shown(&tree, "/shared"), "n0 r4 ");
        assert!(tree.get(&path("/shared/a")).is_none());
        assert_eq!(changes.len(), 4, "{changes:?}");
    }
}
