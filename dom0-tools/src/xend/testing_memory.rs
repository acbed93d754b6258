//! The memory of the machine in tests, and a first domain whose kernel follows its target.

use super::testing::State;
use crate::control::error::ControlError;
use guest_abi::domctl_domain::DomainInfo;
use guest_abi::ids::DomId;
use nix::errno::Errno;
use zerocopy::FromZeros;

const TARGET: &str = "/local/domain/0/memory/target";

/// All in frames, but for what kernels say.
pub(super) struct Memory {
    pub(super) total: u64,
    /// The hypervisor's own.
    pub(super) own: u64,
    /// The first domain's.
    pub(super) first: u64,
    /// What it may have.
    pub(super) first_most: u64,
    /// What it can't do without.
    pub(super) first_least: u64,
    /// So many it gives up between two looks at the machine.
    pub(super) step: u64,
    /// So many more it has than it counts.
    pub(super) uncounted: u64,
    /// What its programs could still have.
    pub(super) spare_kib: Option<u64>,
    /// The least that it has ever had.
    pub(super) first_had: u64,
}

impl Default for Memory {
    /// 1.5 GiB, of which a third is free and another one the first domain's.
    fn default() -> Self {
        Self {
            total: 3 << 17,
            own: 1 << 10,
            first: 1 << 17,
            first_most: u32::MAX.into(),
            first_least: 0,
            step: 1 << 10,
            uncounted: 0,
            spare_kib: None,
            first_had: 1 << 17,
        }
    }
}

impl Memory {
    pub(super) fn first(&self) -> DomainInfo {
        let mut info = DomainInfo::new_zeroed();
        info.domain = DomId::DOM0;
        info.tot_pages = self.first;
        info.max_pages = self.first_most;
        info
    }
}

impl State {
    pub(super) fn free_pages(&self) -> u64 {
        let guests: u64 = self.domains.values().map(|info| info.tot_pages).sum();
        self.memory.total - self.memory.own - self.memory.first - guests
    }

    pub(super) fn claimed_pages(&self) -> u64 {
        let guests = self.domains.values();
        guests.map(|info| info.outstanding_pages).sum()
    }

    pub(super) fn first_target(&self) -> Option<u64> {
        self.nodes.get(TARGET).map(|kib| kib.parse().unwrap())
    }

    /// The first domain's kernel does a bit of what it should.
    pub(super) fn let_first_follow(&mut self) {
        let Some(kib) = self.first_target() else {
            return;
        };
        let wanted = kib / 4 + self.memory.uncounted;
        let free = self.free_pages() - self.claimed_pages();
        let memory = &mut self.memory;
        if wanted < memory.first {
            let least = wanted.max(memory.first_least).min(memory.first);
            memory.first = memory.first.saturating_sub(memory.step).max(least);
        } else {
            let more = (wanted - memory.first).min(memory.step).min(free);
            memory.first += more;
        }
        memory.first_had = memory.first_had.min(memory.first);
    }

    pub(super) fn claim(&mut self, domain: DomId, frames: u64) -> Result<(), ControlError> {
        let free = self.free_pages() - self.claimed_pages();
        let gone = ControlError::new("a test", Errno::ESRCH);
        let info = self.domains.get_mut(&domain.0).ok_or(gone)?;
        let missing = frames.saturating_sub(info.tot_pages);
        if free + info.outstanding_pages < missing {
            return Err(ControlError::new("a test", Errno::ENOMEM));
        }
        info.outstanding_pages = missing;
        Ok(())
    }

    /// A domain gets its memory, by its claim or else from what is left.
    pub(super) fn populate(&mut self, domain: DomId, frames: u64) -> Result<(), ControlError> {
        self.claim(domain, frames)?;
        if let Some(info) = self.domains.get_mut(&domain.0) {
            (info.tot_pages, info.outstanding_pages) = (frames, 0);
        }
        Ok(())
    }
}
