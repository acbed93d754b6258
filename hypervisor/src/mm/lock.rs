//! The page-table lock of a domain, as a token: functions that change types or table entries ask for it.

#![forbid(unsafe_code)]

extern crate alloc;

use super::pte::EntryPolicy;
use super::typ::Level;
use super::verify::{Outside, Tally};
use alloc::collections::TryReserveError;
use alloc::vec::Vec;
use guest_abi::ids::{DomId, Mfn};

/// What the page-table lock of one domain protects, next to the types of its frames and the entries of
/// its tables. The domain keeps it inside a lock of rank
/// [`PAGE_TABLES`](crate::sync::rank::PAGE_TABLES); there is exactly one for each domain.
#[derive(Debug)]
pub struct PtDomain {
    domain: DomId,
    policy: EntryPolicy,
    /// References that are still to be dropped. While there is one, operations do nothing but go on with it;
    /// only roots are given up regardless, each by the vCPU that had it.
    pub(super) pending: Vec<PendingPut>,
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
            pending: Vec::new(),
        }
    }

    /// Makes room for what a domain with `vcpus` vCPUs can leave pending, so that no vCPU ever has to finish
    /// what another has left.
    ///
    /// # Errors
    /// There is no memory.
    pub fn make_room(&mut self, vcpus: usize) -> Result<(), TryReserveError> {
        /// Two roots that are given up at once, and what the operation before has left.
        const EACH: usize = 3;
        self.pending.try_reserve_exact(vcpus.saturating_mul(EACH))
    }

    /// Remembers a reference. There is always room for one; for more by [`Self::make_room`].
    pub(super) fn leave(&mut self, pending: PendingPut) {
        self.pending.push(pending);
    }

    /// Whether a reference can be remembered without memory being allocated.
    pub(super) fn has_room(&self) -> bool {
        self.pending.len() < self.pending.capacity()
    }

    /// What the domain's entries may contain, from now on.
    pub const fn set_policy(&mut self, policy: EntryPolicy) {
        self.policy = policy;
    }

    /// The references that are still to be dropped.
    pub(super) fn pending_references(&self) -> impl Iterator<Item = Outside> + '_ {
        self.pending.iter().map(|pending| {
            let (mfn, typed) = match *pending {
                PendingPut::Table { mfn, .. } => (mfn, 1),
                PendingPut::Residue { mfn } => (mfn, 0),
            };
            Outside {
                mfn,
                tally: Tally { general: 1, typed },
            }
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
    pub fn has_pending(&self) -> bool {
        !self.state.pending.is_empty()
    }

    /// The references that are still to be dropped, for the audit.
    pub fn pending_references(&self) -> impl Iterator<Item = Outside> + '_ {
        self.state.pending_references()
    }

    #[inline]
    pub(super) const fn policy(&self) -> EntryPolicy {
        self.state.policy
    }
}
