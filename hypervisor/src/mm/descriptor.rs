//! Pages of segment descriptors: GDTs and LDTs. They are typed like tables, so that no guest can write
//! to one past these checks.

#![forbid(unsafe_code)]

use super::error::{MmError, Stop};
use super::lock::PtLock;
use super::platform::{Platform, Slot};
use super::reference::{FrameRef, Mm};
use super::typ::{GetExclusive, Type, TypeWord};
use guest_abi::ids::Mfn;

const PRESENT: u64 = 1 << 47;
const DPL: u64 = 3 << 45;
const CODE_OR_DATA: u64 = 1 << 44;
const SYSTEM_TYPE: u64 = 0xF << 40;
const CALL_GATE: u64 = 0xC << 40;
/// Bits 0..=7 of a gate's high word: parameter count and reserved, zero in 64-bit gates.
const GATE_RESERVED: u64 = 0xFF << 32;
const GATE_SELECTOR: u64 = 0xFFFF << 16;

/// First selector index of the part of the GDT that is the hypervisor's.
const FIRST_RESERVED_INDEX: u64 = 7168;
/// The flat 64-bit ring 3 code segment that every guest may use, without its privilege level.
const FLAT_USER_CODE: u64 = 0xE030;
const SELECTOR_IS_LOCAL: u64 = 4;

/// The descriptor as it may be loaded: privilege raised to 3, or refused.
///
/// # Errors
/// [`MmError::BadDescriptor`]: a system descriptor other than a call gate (task states, interrupt gates
/// and LDTs are the hypervisor's), or a gate into the hypervisor.
pub const fn checked(descriptor: u64) -> Result<u64, MmError> {
    if descriptor & PRESENT == 0 {
        return Ok(descriptor); // Loading it always faults.
    }
    let raised = descriptor | DPL;
    if descriptor & CODE_OR_DATA != 0 {
        return Ok(raised);
    }
    match descriptor & SYSTEM_TYPE {
        // The upper half of a gate looks like this; by itself it can't be loaded.
        0 => Ok(raised),
        CALL_GATE => {
            let selector = (descriptor & GATE_SELECTOR) >> 16;
            let is_guests = selector & SELECTOR_IS_LOCAL != 0
                || selector >> 3 < FIRST_RESERVED_INDEX
                || selector & !3 == FLAT_USER_CODE;
            if !is_guests || descriptor & GATE_RESERVED != 0 {
                return Err(MmError::BadDescriptor);
            }
            // Going through it has to fault, so that the hypervisor can do it in the guest's place:
            // privilege 0, with the raised one kept in the selector.
            Ok(descriptor & !DPL | 3 << 16)
        }
        _ => Err(MmError::BadDescriptor),
    }
}

/// A page of descriptors in use: a general reference and a type reference.
#[must_use = "the page stays typed until it is put"]
#[derive(Debug, PartialEq, Eq)]
pub struct DescriptorPage {
    mfn: Mfn,
}

impl DescriptorPage {
    /// The frame.
    #[must_use]
    pub const fn mfn(&self) -> Mfn {
        self.mfn
    }

    /// The frame, for a place that remembers only its number. The page stays in use;
    /// [`Self::recall`] makes a value of it again.
    pub const fn remember(self) -> Mfn {
        self.mfn
    }

    /// The opposite of [`Self::remember`], once for each.
    pub const fn recall(mfn: Mfn) -> Self {
        Self { mfn }
    }
}

impl<P: Platform> Mm<'_, P> {
    /// Takes a descriptor-page reference on `mfn`, a frame of the lock's domain. Its descriptors are
    /// checked if it was none before.
    ///
    /// # Errors
    /// [`Stop::Preempted`]: call again. [`MmError::BadDescriptor`], and those of any change of type.
    pub fn get_descriptors(&self, lock: &mut PtLock<'_>, mfn: Mfn) -> Result<DescriptorPage, Stop> {
        self.finish_pending(lock)?;
        let frame = self
            .get_frame(mfn, lock.domain())
            .map_err(MmError::for_table)?;
        match self.get_descriptor_type(lock, mfn) {
            Ok(()) => Ok(DescriptorPage {
                mfn: frame.remember(),
            }),
            Err(stop) => {
                self.put_frame(frame);
                Err(stop)
            }
        }
    }

    /// Takes a descriptor-page reference on each of these frames, for whoever remembers their numbers, or on none.
    ///
    /// # Errors
    /// As [`Self::get_descriptors`].
    pub fn get_descriptor_list(&self, lock: &mut PtLock<'_>, frames: &[Mfn]) -> Result<(), Stop> {
        for (index, &frame) in frames.iter().enumerate() {
            match self.get_descriptors(lock, frame) {
                Ok(page) => {
                    let _ = page.remember();
                }
                Err(stop) => {
                    for &taken in frames.iter().take(index) {
                        self.put_descriptors(lock, DescriptorPage::recall(taken));
                    }
                    return Err(stop);
                }
            }
        }
        Ok(())
    }

    fn get_descriptor_type(&self, lock: &mut PtLock<'_>, mfn: Mfn) -> Result<(), Stop> {
        let frame = self.table.get(mfn).ok_or(MmError::BadFrame)?;
        self.make_plain(lock, mfn, frame, Type::SegDesc)?;
        loop {
            let word = TypeWord::load(frame);
            match word
                .get_exclusive(Type::SegDesc)
                .map_err(MmError::for_table)?
            {
                GetExclusive::Granted(next) => {
                    next.store(frame);
                    return Ok(());
                }
                GetExclusive::Establish { next, owes_flush } => {
                    if word.exchange(frame, next).is_err() {
                        continue; // A lock-free getter was faster.
                    }
                    let mut working = next;
                    if owes_flush {
                        self.flush_for(word, lock.domain());
                        working = next.flushed();
                    }
                    let result = self.check_descriptors(mfn);
                    match result {
                        Ok(()) => working.validated(),
                        Err(_) => working.dissolved(self.platform.stamp()),
                    }
                    .store(frame);
                    return Ok(result?);
                }
                _ => return Err(MmError::Residue.into()),
            }
        }
    }

    fn check_descriptors(&self, mfn: Mfn) -> Result<(), MmError> {
        for slot in Slot::range(0, Slot::COUNT.into()) {
            let descriptor = self.platform.read(mfn, slot);
            let safe = checked(descriptor)?;
            if safe != descriptor {
                self.platform.write(mfn, slot, safe);
            }
        }
        Ok(())
    }

    /// Gives up the page.
    pub fn put_descriptors(&self, lock: &mut PtLock<'_>, page: DescriptorPage) {
        let Some(frame) = self.table.get(page.mfn) else {
            return;
        };
        debug_assert!(
            frame.owner().is(lock.domain()),
            "{} is another domain's",
            page.mfn
        );
        let word = TypeWord::load(frame);
        let now = self.platform.stamp();
        let next = if word.count() > 1 {
            word.put(now)
        } else {
            Ok(word.dissolved(now))
        };
        if let Ok(next) = next {
            next.store(frame);
        }
        self.put_frame(FrameRef::recall(page.mfn));
    }

    /// Stores one descriptor into `mfn`, a frame of the lock's domain: a descriptor page in use gets it
    /// checked, and so does a plain frame, which may become one.
    ///
    /// # Errors
    /// [`MmError::BadDescriptor`]; [`MmError::NotATable`] for frames in use as tables.
    pub fn update_descriptor(
        &self,
        lock: &mut PtLock<'_>,
        mfn: Mfn,
        slot: Slot,
        descriptor: u64,
    ) -> Result<(), Stop> {
        self.finish_pending(lock)?;
        let descriptor = checked(descriptor)?;
        let reference = self
            .get_frame(mfn, lock.domain())
            .map_err(MmError::for_table)?;
        let result = self.store_descriptor(lock, mfn, slot, descriptor);
        self.put_frame(reference);
        result
    }

    fn store_descriptor(
        &self,
        lock: &mut PtLock<'_>,
        mfn: Mfn,
        slot: Slot,
        descriptor: u64,
    ) -> Result<(), Stop> {
        let frame = self.table.get(mfn).ok_or(MmError::BadFrame)?;
        let word = TypeWord::load(frame);
        if word.typ() == Type::SegDesc && word.count() != 0 {
            self.platform.write(mfn, slot, descriptor);
            return Ok(());
        }
        self.dissolve_stopped(lock, mfn, frame)?;
        let domain = lock.domain();
        self.get_writable(frame, domain, domain)
            .map_err(MmError::for_table)?;
        self.platform.write(mfn, slot, descriptor);
        self.put_writable(frame);
        Ok(())
    }
}

#[cfg(all(test, not(loom)))]
#[path = "descriptor_tests.rs"]
mod tests;
