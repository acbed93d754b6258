//! Where tables in force come from: pins and roots. And the other operations on whole frames.

#![forbid(unsafe_code)]

use super::error::{MmError, Stop};
use super::lock::PtLock;
use super::platform::Platform;
use super::reference::Mm;
use super::typ::{Level, TypeWord};
use guest_abi::ids::{DomId, Mfn};

/// A root in use by a vCPU: a general reference and a type reference of level 4.
#[must_use = "the root stays in force until it is put"]
#[derive(Debug, PartialEq, Eq)]
pub struct Root {
    mfn: Mfn,
}

impl Root {
    /// The L4 table.
    #[must_use]
    pub const fn mfn(&self) -> Mfn {
        self.mfn
    }

    /// The frame, for a place that remembers only its number. The root stays in use;
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
    /// Brings `mfn`, a frame of the lock's domain, into force as a table of `level`, to stay so until
    /// it is unpinned.
    ///
    /// # Errors
    /// [`Stop::Preempted`]: call again. [`MmError::AlreadyPinned`]; what is wrong with the table.
    pub fn pin(&self, lock: &mut PtLock<'_>, mfn: Mfn, level: Level) -> Result<(), Stop> {
        self.finish_pending(lock)?;
        let frame = self
            .get_ref(mfn, lock.domain())
            .map_err(MmError::for_table)?;
        let result = if TypeWord::load(frame).is_pinned() {
            Err(MmError::AlreadyPinned.into())
        } else if Self::is_given_up(frame) {
            // Nobody would unpin it when the domain ends.
            Err(MmError::NotATable.into())
        } else {
            self.make_plain(lock, mfn, frame, level.typ())
                .and_then(|()| self.get_table(lock, mfn, frame, level))
        };
        match result {
            Ok(()) => {
                TypeWord::load(frame).pinned().store(frame);
                Ok(())
            }
            Err(stop) => {
                self.put_ref(mfn, frame);
                Err(self.clear_up(lock, mfn, stop))
            }
        }
    }

    /// The opposite of [`Self::pin`].
    ///
    /// # Errors
    /// [`Stop::Preempted`]: the frame is still pinned, call again. [`MmError::NotPinned`].
    pub fn unpin(&self, lock: &mut PtLock<'_>, mfn: Mfn) -> Result<(), Stop> {
        self.finish_pending(lock)?;
        let frame = self
            .get_ref(mfn, lock.domain())
            .map_err(MmError::for_table)?;
        let word = TypeWord::load(frame);
        let result = match word.typ().level().filter(|_| word.is_pinned()) {
            None => Err(MmError::NotPinned.into()),
            Some(level) if word.count() > 1 => {
                word.unpinned().store(frame);
                self.put_table(lock, mfn, frame, level)
            }
            // The flag goes with the last reference, when that is gone.
            Some(level) => self.put_table(lock, mfn, frame, level),
        };
        if result.is_ok() {
            self.put_ref(mfn, frame); // The pin's own.
        }
        self.put_ref(mfn, frame);
        result
    }

    /// Takes a root for a vCPU: validates it if it is not in force.
    ///
    /// # Errors
    /// [`Stop::Preempted`]: call again. What is wrong with the table.
    pub fn get_root(&self, lock: &mut PtLock<'_>, mfn: Mfn) -> Result<Root, Stop> {
        self.finish_pending(lock)?;
        let frame = self
            .get_ref(mfn, lock.domain())
            .map_err(MmError::for_table)?;
        let result = self
            .make_plain(lock, mfn, frame, Level::L4.typ())
            .and_then(|()| self.get_table(lock, mfn, frame, Level::L4));
        match result {
            Ok(()) => Ok(Root { mfn }),
            Err(stop) => {
                self.put_ref(mfn, frame);
                Err(self.clear_up(lock, mfn, stop))
            }
        }
    }

    /// Gives up a root that no processor has loaded any more. What can't be done at once is done
    /// before the next operation on the domain's tables ([`Self::finish_pending`]), which is where to
    /// get to *before* the root is given up.
    ///
    /// Where there is no room to leave it ([`PtDomain::make_room`](super::lock::PtDomain::make_room)), what was
    /// left before is done here and now, and the processor is not given up for that.
    pub fn put_root(&self, lock: &mut PtLock<'_>, root: Root) {
        self.make_room_to_put(lock);
        self.put_table_soon(lock, root.mfn, Level::L4);
    }

    fn make_room_to_put(&self, lock: &mut PtLock<'_>) {
        while !lock.state.has_room() && self.finish_pending(lock).is_err() {}
    }

    /// Lets go of a root that was taken and is going to be taken again: the call that wants it is preempted before
    /// it has all that it needs, and comes again. As [`Self::put_root`] where nobody can take it again.
    pub fn suspend_root(&self, lock: &mut PtLock<'_>, root: Root) {
        self.make_room_to_put(lock);
        self.suspend_table(lock, root.mfn, Level::L4);
    }

    /// Fills a frame of `owner` with zeroes.
    ///
    /// # Errors
    /// Those of [`Self::get_writable_frame`].
    pub fn clear_page(&self, mfn: Mfn, owner: DomId, caller: DomId) -> Result<(), MmError> {
        let to = self
            .get_writable_frame(mfn, owner, caller)
            .map_err(MmError::for_table)?;
        self.platform.scrub(mfn);
        self.put_writable_frame(to);
        Ok(())
    }

    /// Copies a frame of `owner` to another one of the same.
    ///
    /// # Errors
    /// Those of [`Self::get_writable_frame`] for the destination and of [`Self::get_frame`] for the
    /// source.
    pub fn copy_page(
        &self,
        to: Mfn,
        from: Mfn,
        owner: DomId,
        caller: DomId,
    ) -> Result<(), MmError> {
        let source = self.get_frame(from, owner).map_err(MmError::for_table)?;
        let result = self
            .get_writable_frame(to, owner, caller)
            .map_err(MmError::for_table);
        if let Ok(destination) = result {
            self.platform.copy(to, from);
            self.put_writable_frame(destination);
            self.put_frame(source);
            return Ok(());
        }
        self.put_frame(source);
        result.map(|_| ())
    }
}
