//! The books, audited: every count is computed again by walking all tables, and compared.

#![forbid(unsafe_code)]

use super::error::MmError;
use super::frame::{Frame, refs};
use super::lock::PtDomain;
use super::platform::{Platform, Slot};
use super::pte;
use super::reference::Mm;
use super::typ::{Level, Type, TypeWord};
use crate::sync::atomic::Ordering;
use core::fmt;
use guest_abi::ids::Mfn;

/// References found for one frame. A caller lends one for each frame of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// General references.
    pub general: u64,
    /// Type references, whatever the type.
    pub typed: u64,
}

/// References that the audit can't find by itself: roots, grants, copies under way, descriptor tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outside {
    /// The frame.
    pub mfn: Mfn,
    /// How it is referenced.
    pub tally: Tally,
}

/// What is wrong with a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The counts are not what was found.
    Counts {
        /// What the frame's entry says.
        booked: Tally,
        /// What was found.
        found: Tally,
    },
    /// The type word is in a state that nothing may be left in.
    State,
    /// This entry of the table, which is in force, does not hold what an entry must.
    Entry(Slot, u64),
}

/// A finding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The frame.
    pub mfn: Mfn,
    /// Its type word.
    pub word: TypeWord,
    /// What is wrong.
    pub fault: Fault,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?}): ", self.mfn, self.word)?;
        match self.fault {
            Fault::State => f.write_str("is in a state that only exists under its lock"),
            Fault::Entry(slot, entry) => {
                write!(
                    f,
                    "entry {} is {entry:#x}, which is not in force",
                    slot.number()
                )
            }
            Fault::Counts { booked, found } => write!(
                f,
                "{} general and {} type references are booked, {} and {} exist",
                booked.general, booked.typed, found.general, found.typed
            ),
        }
    }
}

impl<P: Platform> Mm<'_, P> {
    /// Recomputes all counts and reports each frame whose books are wrong; returns how many are. The
    /// machine is at rest: no lock is held and no guest runs.
    ///
    /// # Errors
    /// [`MmError::BadFrame`]: `scratch` is shorter than the frame table.
    pub fn verify<'d>(
        &self,
        domains: impl Iterator<Item = &'d PtDomain>,
        outside: impl Iterator<Item = Outside>,
        scratch: &mut [Tally],
        report: &mut impl FnMut(Finding),
    ) -> Result<u64, MmError> {
        let frames = usize::try_from(self.table.end().0).map_err(|_| MmError::BadFrame)?;
        let tallies = scratch.get_mut(..frames).ok_or(MmError::BadFrame)?;
        tallies.fill(Tally::default());
        let mut faults = 0_u64;
        let mut report = |mfn, word, fault| {
            faults = faults.saturating_add(1);
            report(Finding { mfn, word, fault });
        };
        let pending = domains.flat_map(PtDomain::pending_references);
        for Outside { mfn, tally } in outside.chain(pending) {
            add(tallies, mfn, tally);
        }
        for (mfn, frame) in self.all() {
            self.tally_frame(mfn, frame, tallies, &mut report);
        }
        for ((mfn, frame), found) in self.all().zip(tallies.iter()) {
            let word = TypeWord::load(frame);
            let booked = Tally {
                general: frame.reference_count(),
                typed: word.count(),
            };
            let typed = if booked.general == 0 { 0 } else { booked.typed };
            if (Tally { typed, ..booked }) != *found {
                report(
                    mfn,
                    word,
                    Fault::Counts {
                        booked,
                        found: *found,
                    },
                );
            }
        }
        Ok(faults)
    }

    fn all(&self) -> impl Iterator<Item = (Mfn, &Frame)> {
        let table = self.table;
        (0..table.end().0).filter_map(move |mfn| Some((Mfn(mfn), table.get(Mfn(mfn))?)))
    }

    fn tally_frame(
        &self,
        mfn: Mfn,
        frame: &Frame,
        tallies: &mut [Tally],
        report: &mut impl FnMut(Mfn, TypeWord, Fault),
    ) {
        if frame.reference_count() == 0 {
            return;
        }
        let word = TypeWord::load(frame);
        let state = frame.refs.load(Ordering::Relaxed);
        if state & refs::ALLOCATED != 0 {
            let typed = u64::from(state & refs::SHARED != 0);
            add(tallies, mfn, Tally { general: 1, typed });
        }
        if word.is_pinned() {
            add(
                tallies,
                mfn,
                Tally {
                    general: 1,
                    typed: 1,
                },
            );
        }
        if word.is_stopped() {
            add(
                tallies,
                mfn,
                Tally {
                    general: 1,
                    typed: 0,
                },
            );
        }
        let Some(level) = word.typ().level() else {
            if word.is_partial() || word.count() != 0 && !word.is_valid() {
                report(mfn, word, Fault::State);
            }
            return;
        };
        if word.is_table(level) && !word.is_partial() {
            self.tally_entries(mfn, word, level, Slot::COUNT.into(), tallies, report);
        } else if word.is_partial() && !word.is_valid() && level != Level::L1 && word.count() <= 1 {
            let residue = frame.aux.load(Ordering::Relaxed);
            self.tally_entries(mfn, word, level, residue, tallies, report);
        } else if word.count() != 0 || word.is_valid() || word.is_partial() {
            report(mfn, word, Fault::State);
        }
    }

    fn tally_entries(
        &self,
        table: Mfn,
        word: TypeWord,
        level: Level,
        end: u32,
        tallies: &mut [Tally],
        report: &mut impl FnMut(Mfn, TypeWord, Fault),
    ) {
        for slot in Slot::range(0, end) {
            let entry = self.platform.read(table, slot);
            if !pte::is_present(entry) || pte::is_hypervisor_slot(level, slot) {
                continue;
            }
            let mfn = pte::mfn(entry);
            let Some(frame) = self.memory(mfn) else {
                // Above L1 there is no such thing as an entry for device memory.
                if level != Level::L1 {
                    report(table, word, Fault::Entry(slot, entry));
                }
                continue;
            };
            let target = TypeWord::load(frame);
            let is_last = u32::from(slot.number()) + 1 == end;
            let (typed, is_sound) = match level.below() {
                None if !pte::is_writable(entry) => (0, true),
                None => (1, target.typ() == Type::Writable && target.is_valid()),
                // The last entry of a residue may be one that is just being dissolved.
                Some(below) => (1, target.is_table(below) || word.is_partial() && is_last),
            };
            add(tallies, mfn, Tally { general: 1, typed });
            if !is_sound || pte::adjusted(level, entry) != entry {
                report(table, word, Fault::Entry(slot, entry));
            }
        }
    }
}

fn add(tallies: &mut [Tally], mfn: Mfn, more: Tally) {
    let slot = usize::try_from(mfn.0)
        .ok()
        .and_then(|index| tallies.get_mut(index));
    if let Some(tally) = slot {
        tally.general = tally.general.saturating_add(more.general);
        tally.typed = tally.typed.saturating_add(more.typed);
    }
}
