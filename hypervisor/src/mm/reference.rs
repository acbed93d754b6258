//! General and writable references: lock-free, from anywhere, by whoever has a right to ask.

#![forbid(unsafe_code)]

use super::error::MmError;
use super::frame::{Frame, FrameTable, refs};
use super::held::HeldFrame;
use super::platform::Platform;
use super::tlb::Suspects;
use super::typ::{GetWritable, TypeWord};
use crate::sync::atomic::Ordering;
use guest_abi::ids::{DomId, Mfn};

/// The frame table and the machine: everything that this room's functions need.
pub struct Mm<'m, P> {
    pub(super) table: FrameTable<'m>,
    pub(super) platform: &'m P,
}

impl<P> Clone for Mm<'_, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for Mm<'_, P> {}

/// One general reference on a frame: it stays allocated and with its owner.
#[must_use = "the reference is held until it is released"]
#[derive(Debug, PartialEq, Eq)]
pub struct FrameRef {
    mfn: Mfn,
}

/// One general and one writable reference on a frame: nobody can make a table of it.
#[must_use = "the references are held until they are released"]
#[derive(Debug, PartialEq, Eq)]
pub struct WritableRef {
    mfn: Mfn,
}

macro_rules! reference_tokens {
    ($($token:ident),*) => { $(
        impl $token {
            /// The frame.
            #[must_use]
            pub const fn mfn(&self) -> Mfn {
                self.mfn
            }

            /// The frame, for a place that remembers only its number. The reference lives on;
            /// [`Self::recall`] makes a value of it again.
            pub const fn remember(self) -> Mfn {
                self.mfn
            }

            /// The opposite of [`Self::remember`], once for each.
            pub const fn recall(mfn: Mfn) -> Self {
                Self { mfn }
            }
        }
    )* };
}
reference_tokens!(FrameRef, WritableRef);

impl<'m, P: Platform> Mm<'m, P> {
    /// The rules of this room over `table`.
    #[must_use]
    pub const fn new(table: FrameTable<'m>, platform: &'m P) -> Self {
        Self { table, platform }
    }

    /// The frame table.
    #[must_use]
    pub const fn frames(&self) -> FrameTable<'m> {
        self.table
    }

    /// Takes a reference on `mfn`, a frame of `owner`.
    ///
    /// # Errors
    /// [`MmError::BadFrame`], [`MmError::WrongOwner`], [`MmError::TooManyReferences`].
    #[inline]
    pub fn get_frame(&self, mfn: Mfn, owner: DomId) -> Result<FrameRef, MmError> {
        self.get_ref(mfn, owner).map(|_| FrameRef { mfn })
    }

    /// Drops the reference.
    #[inline]
    pub fn put_frame(&self, reference: FrameRef) {
        if let Some(frame) = self.table.get(reference.mfn) {
            self.put_ref(reference.mfn, frame);
        }
    }

    /// Takes a reference on `mfn`, a frame of `owner`, that lets `user` write to it. Needs no lock: the
    /// way to go for grants and copies.
    ///
    /// # Errors
    /// [`MmError::TypeConflict`] while it is a table or descriptor page, [`MmError::Residue`] while it
    /// is half of one, and those of [`Self::get_frame`].
    #[inline]
    pub fn get_writable_frame(
        &self,
        mfn: Mfn,
        owner: DomId,
        user: DomId,
    ) -> Result<WritableRef, MmError> {
        let frame = self.get_ref(mfn, owner)?;
        if let Err(error) = self.get_writable(frame, owner, user) {
            self.put_ref(mfn, frame);
            return Err(error);
        }
        Ok(WritableRef { mfn })
    }

    /// Drops the references.
    #[inline]
    pub fn put_writable_frame(&self, reference: WritableRef) {
        if let Some(frame) = self.table.get(reference.mfn) {
            self.put_writable(frame);
            self.put_ref(reference.mfn, frame);
        }
    }

    /// One more general reference, if the frame is allocated to `owner`.
    #[inline]
    pub(super) fn get_ref(&self, mfn: Mfn, owner: DomId) -> Result<&'m Frame, MmError> {
        let frame = self.table.get(mfn).ok_or(MmError::BadFrame)?;
        if !frame.owner().is(owner) {
            return Err(MmError::WrongOwner);
        }
        let mut now = frame.refs.load(Ordering::Relaxed);
        loop {
            if now & refs::COUNT == 0 {
                return Err(MmError::WrongOwner);
            }
            if now & refs::COUNT >= refs::MAX_COUNT {
                return Err(MmError::TooManyReferences);
            }
            // The increment can't carry out of the count: see the limit above.
            match frame.refs.compare_exchange_weak(
                now,
                now + 1,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => break,
                Err(changed) => now = changed,
            }
        }
        // Only from here on the owner is stable: the frame may have been freed and given away since
        // the first look.
        if frame.owner().is(owner) {
            return Ok(frame);
        }
        self.put_ref(mfn, frame);
        Err(MmError::WrongOwner)
    }

    /// One more general reference on a frame on which the caller, or something that the caller's lock
    /// protects, holds one already.
    #[inline]
    pub(super) fn get_another_ref(&self, frame: &Frame) {
        let was = frame.refs.fetch_add(1, Ordering::AcqRel);
        debug_assert!(was & refs::COUNT != 0, "reference raised from zero");
    }

    /// One general reference less; the last one frees the frame.
    #[inline]
    pub(super) fn put_ref(&self, mfn: Mfn, frame: &Frame) {
        let mut now = frame.refs.load(Ordering::Relaxed);
        loop {
            let next = match now & refs::COUNT {
                0 => return debug_assert!(false, "{mfn}: reference dropped that nobody held"),
                1 => refs::HELD,
                _ => now - 1,
            };
            match frame
                .refs
                .compare_exchange_weak(now, next, Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) if next == refs::HELD => return self.last_reference_dropped(mfn, frame, now),
                Ok(_) => return,
                Err(changed) => now = changed,
            }
        }
    }

    /// Drops a general reference where another one, which the caller's lock protects, is left.
    #[inline]
    pub(super) fn put_one_of_many(&self, frame: &Frame) {
        let was = frame.refs.fetch_sub(1, Ordering::AcqRel);
        debug_assert!(was & refs::COUNT > 1, "the last reference was dropped");
    }

    #[cold]
    fn last_reference_dropped(&self, mfn: Mfn, frame: &Frame, was: u64) {
        debug_assert_eq!(
            was & refs::ALLOCATED,
            0,
            "{mfn}: the allocation's reference was dropped"
        );
        debug_assert!(
            matches!(TypeWord::load(frame).count(), 0) && !TypeWord::load(frame).is_partial(),
            "{mfn} is freed as {:?}",
            TypeWord::load(frame)
        );
        self.platform
            .release(HeldFrame::new(mfn, frame, was, self.platform));
    }

    /// One writable reference for `user` on a frame of `owner`, on which the caller holds a general
    /// reference.
    #[inline]
    pub(super) fn get_writable(
        &self,
        frame: &Frame,
        owner: DomId,
        user: DomId,
    ) -> Result<(), MmError> {
        let mut word = TypeWord::load(frame);
        loop {
            let step = word.get_writable(owner != user)?;
            let (GetWritable::Granted(next) | GetWritable::Establish(next)) = step;
            match word.exchange(frame, next) {
                Err(changed) => word = changed,
                Ok(()) if matches!(step, GetWritable::Granted(_)) => return Ok(()),
                Ok(()) => {
                    self.establish_writable(frame, word, owner);
                    return Ok(());
                }
            }
        }
    }

    /// Makes the flush that is owed for the type before, and says so.
    #[cold]
    fn establish_writable(&self, frame: &Frame, before: TypeWord, owner: DomId) {
        self.flush_for(before, owner);
        // We hold a count, so the type can't have changed; the count and the marks may have.
        let mut word = TypeWord::load(frame);
        while let Err(changed) = word.exchange(frame, word.established()) {
            word = changed;
        }
    }

    /// Flushes whatever may still use the frame as what it was in `word`.
    #[inline]
    pub(super) fn flush_for(&self, word: TypeWord, owner: DomId) {
        let suspects = if word.is_foreign() {
            Suspects::Everyone
        } else {
            Suspects::Domain(owner)
        };
        self.platform.flush_since(suspects, word.stamp());
    }

    /// One writable reference less. The mapping is gone from its table already.
    #[inline]
    pub(super) fn put_writable(&self, frame: &Frame) {
        let mut word = TypeWord::load(frame);
        loop {
            // Read after the word was: no earlier than any stamp that is in it.
            let now = self.platform.stamp();
            match word.put(now) {
                Err(_) => return debug_assert!(false, "writable reference that nobody held"),
                Ok(next) => match word.exchange(frame, next) {
                    Ok(()) => return,
                    Err(changed) => word = changed,
                },
            }
        }
    }
}
