//! A guest that makes things up: domains, frames, entries and slots for random operations, sensible often
//! enough for trees of tables to come about.

use super::error::{MmError, Stop};
use super::pte;
use super::test_machine::{DOM0, DOM1, FRAMES, RAM_END, TestMachine};
use super::test_support::Rng;
use guest_abi::ids::{DomId, Mfn};
use std::vec::Vec;

/// Slots that the tests use: ends, the hypervisor's, and their neighbours.
pub(crate) const SLOTS: [u16; 9] = [0, 1, 2, 255, 256, 271, 272, 510, 511];

/// The source of random choices.
pub(crate) struct Guest<'t> {
    pub(crate) machine: &'t TestMachine<'t>,
    pub(crate) rng: Rng,
    /// Frames that the hypervisor shares with domains.
    pub(crate) shared: Vec<Mfn>,
}

/// Calls again until the call is through.
pub(crate) fn repeat<T>(mut call: impl FnMut() -> Result<T, Stop>) -> Result<T, MmError> {
    for _ in 0..1_000_000 {
        match call() {
            Ok(value) => return Ok(value),
            Err(Stop::Failed(error)) => return Err(error),
            Err(Stop::Preempted) => (),
        }
    }
    panic!("preempted for ever");
}

impl Guest<'_> {
    pub(crate) fn domain(&mut self) -> DomId {
        if self.rng.one_in(3) { DOM0 } else { DOM1 }
    }

    /// A frame that is more or less likely meant to be of `level`, 0 for plain memory: frames have
    /// a vocation, so that trees come about.
    pub(crate) fn frame(&mut self, domain: DomId, level: u64) -> Mfn {
        if self.rng.one_in(150) {
            return Mfn(self.rng.below(FRAMES + 8));
        }
        let vocation = |mfn: u64| match mfn % 10 {
            0 => 4,
            1 => 3,
            2 => 2,
            3..6 => 1,
            _ => 0,
        };
        let is_strange = self.rng.one_in(40);
        for _ in 0..60 {
            let mfn = Mfn(self.rng.below(RAM_END));
            let frame = self.machine.table.get(mfn).unwrap();
            let is_own = frame.owner().is(domain) && frame.reference_count() != 0;
            if is_own && (is_strange || vocation(mfn.0) == level) {
                return mfn;
            }
        }
        Mfn(self.rng.below(RAM_END))
    }

    /// An entry for a table of `level`, rarely an absurd one.
    pub(crate) fn entry(&mut self, domain: DomId, level: u64) -> u64 {
        if self.rng.one_in(3) {
            return if self.rng.one_in(2) {
                0
            } else {
                self.rng.next() & !pte::PRESENT
            };
        }
        let below = if level == 1 && self.rng.one_in(5) {
            1
        } else {
            level.saturating_sub(1)
        };
        let target = match self.rng.below(150) {
            0..2 => Mfn(RAM_END + self.rng.below(FRAMES + 8 - RAM_END)),
            2..5 => self.shared[self.rng.below(self.shared.len() as u64) as usize],
            _ => self.frame(domain, below),
        };
        let mut entry = target.address() | pte::PRESENT;
        if level > 1 || below == 0 && !self.rng.one_in(4) || self.rng.one_in(30) {
            entry |= pte::WRITABLE;
        }
        for (flag, rarity) in [
            (pte::USER, 2),
            (pte::ACCESSED, 2),
            (pte::DIRTY, 4),
            (pte::NO_EXECUTE, 4),
            (pte::GUEST_KERNEL, 4),
            (1 << 9, 8),
            (1 << 58, 8),
            (pte::GLOBAL, if level == 1 { 8 } else { 400 }),
            (pte::PWT, 300),
            (pte::PCD, 300),
            (pte::PAT, 600),
        ] {
            if self.rng.one_in(rarity) {
                entry |= flag;
            }
        }
        entry
    }

    pub(crate) fn slot(&mut self) -> u16 {
        SLOTS[self.rng.below(SLOTS.len() as u64) as usize]
    }
}
