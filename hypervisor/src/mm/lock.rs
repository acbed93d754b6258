//! The page-table lock of a domain, as a token: functions that change types or table entries ask for it.

#![forbid(unsafe_code)]

use super::pte::EntryPolicy;
use super::typ::Level;
use super::verify::{Outside, Tally};
use guest_abi::ids::{DomId, Mfn};

/// What the page-table lock of one domain protects, next to the types of its frames and the entries of
/// its tables. The domain keeps it inside a lock of rank
/// [`PAGE_TABLES`](crate::sync::rank::PAGE_TABLES); there is exactly one for each domain.
#[derive(Debug)]
pub struct PtDomain {
    domain: DomId,
    policy: EntryPolicy,
    /// A reference that is still to be dropped. While it is there, operations do nothing but go on with
    /// it, so one is enough.
    pub(super) pending: Option<PendingPut>,
}

/// A reference on a table that could not be dropped in one go. It owns one general reference on `mfn`.
#[derive(Debug)]
pub(super) enum PendingPut {
    /// The type reference that goes with it, of a table of this level.
    Table { mfn: Mfn, level: Level },
    /// The residue of a validation that failed.
    Residue { mfn: Mfn },
}

impl PtDomain {
    /// The state for `domain`.
    #[must_use]
    pub const fn new(domain: DomId, policy: EntryPolicy) -> Self {
        Self {
            domain,
            policy,
            pending: None,
        }
    }

    /// What the domain's entries may contain, from now on.
    pub const fn set_policy(&mut self, policy: EntryPolicy) {
        self.policy = policy;
    }

    /// The reference that is still to be dropped.
    pub(super) fn pending_reference(&self) -> Option<Outside> {
        let (mfn, typed) = match *self.pending.as_ref()? {
            PendingPut::Table { mfn, .. } => (mfn, 1),
            PendingPut::Residue { mfn } => (mfn, 0),
        };
        Some(Outside {
            mfn,
            tally: Tally { general: 1, typed },
        })
    }

    /// The proof that the lock is held: whoever can name this as mutable holds it.
    #[inline]
    #[must_use]
    pub const fn locked(&mut self) -> PtLock<'_> {
        PtLock { state: self }
    }
}

/// Proof that the page-table lock of a domain is held.
#[derive(Debug)]
pub struct PtLock<'l> {
    pub(super) state: &'l mut PtDomain,
}

impl PtLock<'_> {
    /// Whose lock it is.
    #[inline]
    #[must_use]
    pub const fn domain(&self) -> DomId {
        self.state.domain
    }

    /// Whether a reference is still to be dropped.
    #[inline]
    #[must_use]
    pub const fn has_pending(&self) -> bool {
        self.state.pending.is_some()
    }

    /// The reference that is still to be dropped, for the audit.
    #[must_use]
    pub fn pending_reference(&self) -> Option<Outside> {
        self.state.pending_reference()
    }

    #[inline]
    pub(super) const fn policy(&self) -> EntryPolicy {
        self.state.policy
    }
}
