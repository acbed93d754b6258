//! vCPUs for the tests of this room.

use super::SchedVcpu;
use super::credit::{Share, Unit};
use super::run_state::RunState;
use std::sync::Arc;

pub(super) struct Inner {
    pub(super) id: usize,
    pub(super) run: RunState,
    unit: Unit,
}

#[derive(Clone)]
pub(super) struct TestVcpu(pub(super) Arc<Inner>);

impl TestVcpu {
    /// Of a domain of its own.
    pub(super) fn new(id: usize) -> Self {
        Self::of(id, Arc::new(Share::new()))
    }

    /// Of the domain with `share`.
    pub(super) fn of(id: usize, share: Arc<Share>) -> Self {
        Self(Arc::new(Inner {
            id,
            run: RunState::down(),
            unit: Unit::new(share),
        }))
    }
}

impl core::fmt::Debug for TestVcpu {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "v{}", self.0.id)
    }
}

impl PartialEq for TestVcpu {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl SchedVcpu<Unit> for TestVcpu {
    fn run_state(&self) -> &RunState {
        &self.0.run
    }

    fn unit(&self) -> &Unit {
        &self.0.unit
    }
}
