//! Exchanging frames: a domain gives frames of its own and gets as many others, contiguous or at lower
//! addresses, under the same numbers of its own.
//!
//! The work is done in *steps*: as many extents of both lists as make up the same number of frames. A step
//! happens as a whole or not at all; between two steps the call may stop. What can fail comes first: the
//! frames to give are taken out of use, the others allocated, their numbers told. Until then everything can
//! be undone, and is, in reverse order. Then the old frames go and the new ones come, which can't fail, so
//! that no frame is ever lost on the way. Until they come the places of the old ones are kept, so that the domain
//! has the same number of frames at every moment, and others can't fill up what is meant for it.

#![forbid(unsafe_code)]

extern crate alloc;

use super::block::CleanBlock;
use super::buddy::Order;
use super::error::MmError;
use super::held::HeldFrame;
use super::platform::Platform;
use super::reference::Mm;
use alloc::vec::Vec;
use guest_abi::errno::Errno;
use guest_abi::ids::{DomId, Mfn, Pfn};

/// The lists of an exchange. The guest changes them at any time; each element is read once.
pub trait ExchangeLists {
    /// First frame of an extent to give.
    ///
    /// # Errors
    /// It can't be read.
    fn given(&self, index: u64) -> Result<Mfn, Unreadable>;
    /// The domain's number for the first frame of an extent to get.
    ///
    /// # Errors
    /// It can't be read.
    fn wanted(&self, index: u64) -> Result<Pfn, Unreadable>;
    /// Tells which frame it got: the first of an extent.
    ///
    /// # Errors
    /// It can't be told.
    fn tell(&self, index: u64, first: Mfn) -> Result<(), Unreadable>;
}

/// The guest's memory could not be read or written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unreadable;

/// Where new frames come from, with the wishes of the call in mind, and go to.
pub trait ExchangeSource {
    /// A clean block.
    fn allocate(&self, order: Order) -> Option<CleanBlock>;
    /// Takes back a block that was not used.
    fn put_back(&self, block: CleanBlock);
    /// A frame of the domain is about to be freed; its place is kept.
    fn vacate(&self, frame: &mut HeldFrame);
    /// Gives the frames of a block to the domain, in place of so many others. Returns the first.
    fn replace(&self, block: CleanBlock) -> Mfn;
}

/// Why a step was not done. Nothing has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExchangeError {
    /// A frame is not the domain's to give, or is in use.
    Frame(MmError),
    /// No such memory is free.
    NoMemory,
    /// A list can't be read or written.
    List,
}

impl ExchangeError {
    /// What the guest gets to see.
    #[must_use]
    pub const fn errno(self) -> Errno {
        match self {
            Self::Frame(_) => Errno::EINVAL,
            Self::NoMemory => Errno::ENOMEM,
            Self::List => Errno::EFAULT,
        }
    }
}

impl From<MmError> for ExchangeError {
    fn from(error: MmError) -> Self {
        Self::Frame(error)
    }
}

impl From<Unreadable> for ExchangeError {
    fn from(Unreadable: Unreadable) -> Self {
        Self::List
    }
}

/// The sizes of both sides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    given: Order,
    wanted: Order,
    nr_given: u64,
}

impl Shape {
    /// `nr_given` extents of order `given` for `nr_wanted` of order `wanted`. None if those are not as many
    /// frames, or more than there can be.
    #[must_use]
    pub fn new(nr_given: u64, given: Order, nr_wanted: u64, wanted: Order) -> Option<Self> {
        let frames = |extents: u64, order: Order| extents.checked_mul(u64::from(order.frames()));
        (frames(nr_given, given)? == frames(nr_wanted, wanted)?).then_some(Self {
            given,
            wanted,
            nr_given,
        })
    }

    /// Steps of the whole exchange.
    #[must_use]
    pub const fn steps(self) -> u64 {
        self.nr_given >> self.given_shift()
    }

    /// Steps that the first `extents` extents to give make up.
    #[must_use]
    pub const fn steps_of(self, extents: u64) -> u64 {
        extents >> self.given_shift()
    }

    /// Extents to give that are gone after the first `steps` steps.
    #[must_use]
    pub const fn given_after(self, steps: u64) -> u64 {
        steps << self.given_shift()
    }

    /// log2 of the extents to give in a step.
    const fn given_shift(self) -> u32 {
        self.wanted.get().saturating_sub(self.given.get())
    }

    /// log2 of the extents to get in a step.
    const fn wanted_shift(self) -> u32 {
        self.given.get().saturating_sub(self.wanted.get())
    }
}

/// The numbers of a step's extents in their list.
fn extents(step: u64, shift: u32) -> core::ops::Range<u64> {
    // No overflow: the step is one of the shape's.
    step << shift..(step + 1) << shift
}

/// Frames taken out of use, and blocks that are to take their place.
#[derive(Default)]
struct Taken {
    old: Vec<HeldFrame>,
    new: Vec<(CleanBlock, Pfn)>,
}

impl<P: Platform> Mm<'_, P> {
    /// Does step `step` of an exchange by `domain`, one below [`Shape::steps`].
    ///
    /// # Errors
    /// What is in the way; nothing has changed (but elements of the list of frames to get may say already
    /// what they would have become).
    pub fn exchange_step(
        &self,
        domain: DomId,
        shape: Shape,
        step: u64,
        lists: &impl ExchangeLists,
        source: &impl ExchangeSource,
    ) -> Result<(), ExchangeError> {
        let mut taken = Taken::default();
        if let Err(error) = self.take(&mut taken, domain, shape, step, lists, source) {
            for (block, _) in taken.new.drain(..) {
                source.put_back(block);
            }
            for frame in taken.old.drain(..) {
                frame.restore(self.table);
            }
            return Err(error);
        }
        for mut frame in taken.old {
            source.vacate(&mut frame);
            self.platform.release(frame);
        }
        for (block, pfn) in taken.new {
            // While they are nobody's: the domain may give them back as soon as they are its.
            for index in 0..u64::from(block.order().frames()) {
                let mfn = Mfn(block.mfn().0.saturating_add(index));
                self.platform.set(mfn, pfn.0.wrapping_add(index));
            }
            source.replace(block);
        }
        Ok(())
    }

    /// All that can fail.
    fn take(
        &self,
        taken: &mut Taken,
        domain: DomId,
        shape: Shape,
        step: u64,
        lists: &impl ExchangeLists,
        source: &impl ExchangeSource,
    ) -> Result<(), ExchangeError> {
        let (given, wanted) = (shape.given, shape.wanted);
        let frames = given.frames().max(wanted.frames()) as usize;
        let reserve = |result: Result<(), _>| result.map_err(|_| ExchangeError::NoMemory);
        reserve(taken.old.try_reserve_exact(frames))?;
        for extent in extents(step, shape.given_shift()) {
            let first = lists.given(extent)?;
            for index in 0..u64::from(given.frames()) {
                let mfn = first.0.checked_add(index).ok_or(MmError::BadFrame)?;
                taken.old.push(self.steal(Mfn(mfn), domain)?);
            }
        }
        reserve(taken.new.try_reserve_exact(1 << shape.wanted_shift()))?;
        for extent in extents(step, shape.wanted_shift()) {
            let pfn = lists.wanted(extent)?;
            let block = source.allocate(wanted).ok_or(ExchangeError::NoMemory)?;
            let first = block.mfn();
            taken.new.push((block, pfn));
            lists.tell(extent, first)?;
        }
        Ok(())
    }
}

#[cfg(all(test, not(loom)))]
#[path = "exchange_tests.rs"]
mod tests;
