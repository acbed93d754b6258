//! What an unprivileged domain may use, and what is said when it wants more.

use guest_abi::errno::Errno;
use guest_abi::store_wire::MAX_RELATIVE_PATH;

/// What can run out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Quota {
    /// Nodes that a domain owns.
    Nodes,
    /// Bytes of one node's value and permissions.
    NodeSize,
    /// Watches.
    Watches,
    /// Transactions at once.
    Transactions,
    /// Requests in one transaction that read or write different nodes.
    TransactionNodes,
    /// Entries in one list of permissions.
    Permissions,
    /// Bytes of a name, after the domain's home.
    PathLength,
    /// Requests whose answers have not been taken.
    Outstanding,
    /// Bytes of all that, above which it is said in the log.
    MemorySoft,
    /// Bytes of all that, above which requests are refused.
    MemoryHard,
    /// Bytes of watch events that have not been taken, above which each watch is told only once.
    EventBytes,
}

impl Quota {
    /// All of them, in the order of [`Quotas`].
    pub const ALL: [Self; 11] = [
        Self::Nodes,
        Self::NodeSize,
        Self::Watches,
        Self::Transactions,
        Self::TransactionNodes,
        Self::Permissions,
        Self::PathLength,
        Self::Outstanding,
        Self::MemorySoft,
        Self::MemoryHard,
        Self::EventBytes,
    ];

    /// Its name in `xenstore-control quota` and in the log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nodes => "nodes",
            Self::NodeSize => "node-size",
            Self::Watches => "watches",
            Self::Transactions => "transactions",
            Self::TransactionNodes => "transaction-nodes",
            Self::Permissions => "node-permissions",
            Self::PathLength => "path-length",
            Self::Outstanding => "outstanding",
            Self::MemorySoft => "memory-soft",
            Self::MemoryHard => "memory",
            Self::EventBytes => "event-bytes",
        }
    }

    /// Its meaning, for people.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Nodes => "nodes that a domain owns",
            Self::NodeSize => "bytes of a node's value and permissions",
            Self::Watches => "watches",
            Self::Transactions => "transactions at once",
            Self::TransactionNodes => "different requests in a transaction",
            Self::Permissions => "permissions of a node",
            Self::PathLength => "bytes of a name after the domain's home",
            Self::Outstanding => "requests whose answers are not taken",
            Self::MemorySoft => "bytes, above which the log says so",
            Self::MemoryHard => "bytes, above which requests are refused",
            Self::EventBytes => {
                "bytes of watch events not taken, above which each watch is told once"
            }
        }
    }

    /// What happens to a domain that reaches it.
    #[must_use]
    pub const fn consequence(self) -> &'static str {
        match self {
            Self::MemorySoft => "nothing is refused yet",
            Self::Outstanding => "its further requests wait until it takes the answers",
            Self::EventBytes => "each of its watches is told once that something has changed",
            _ => "the request is refused",
        }
    }

    /// The quota of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|quota| quota.name() == name)
    }

    /// What a refused client is told.
    #[must_use]
    pub const fn errno(self) -> Errno {
        match self {
            Self::Watches => Errno::E2BIG,
            Self::PathLength => Errno::EINVAL,
            Self::MemorySoft | Self::MemoryHard => Errno::ENOMEM,
            _ => Errno::ENOSPC,
        }
    }

    const fn index(self) -> usize {
        self as usize
    }
}

/// The limits of every unprivileged domain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quotas([u64; Quota::ALL.len()]);

impl Default for Quotas {
    fn default() -> Self {
        let mut quotas = Self([0; Quota::ALL.len()]);
        for (quota, limit) in [
            (Quota::Nodes, 1000),
            (Quota::NodeSize, 2048),
            (Quota::Watches, 128),
            (Quota::Transactions, 10),
            (Quota::TransactionNodes, 1024),
            (Quota::Permissions, 5),
            (Quota::PathLength, MAX_RELATIVE_PATH as u64),
            (Quota::Outstanding, 20),
            (Quota::MemorySoft, 2 << 20),
            (Quota::MemoryHard, 5 << 19),
            (Quota::EventBytes, 256 << 10),
        ] {
            quotas.set(quota, limit);
        }
        quotas
    }
}

impl Quotas {
    /// The limit.
    #[must_use]
    pub fn get(&self, quota: Quota) -> u64 {
        self.0.get(quota.index()).copied().unwrap_or(0)
    }

    /// Changes a limit.
    pub fn set(&mut self, quota: Quota, limit: u64) {
        if let Some(slot) = self.0.get_mut(quota.index()) {
            *slot = limit;
        }
    }
}

/// Why a request was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// It can't be done.
    Error(Errno),
    /// The domain has used up what it may use.
    Quota(Quota),
}

impl From<Errno> for Refusal {
    fn from(error: Errno) -> Self {
        Self::Error(error)
    }
}

impl From<Quota> for Refusal {
    fn from(quota: Quota) -> Self {
        Self::Quota(quota)
    }
}

impl Refusal {
    /// What the client is told.
    #[must_use]
    pub const fn errno(self) -> Errno {
        match self {
            Self::Error(error) => error,
            Self::Quota(quota) => quota.errno(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_quota_has_a_name_and_a_place_of_its_own() {
        let mut quotas = Quotas::default();
        for (number, quota) in (1..).zip(Quota::ALL) {
            assert!(quotas.get(quota) > 0, "{quota:?} has no default");
            assert_eq!(Quota::named(quota.name()), Some(quota));
            quotas.set(quota, number);
        }
        for (number, quota) in (1..).zip(Quota::ALL) {
            assert_eq!(quotas.get(quota), number);
        }
        assert_eq!(Quota::named("node"), None);
    }
}
