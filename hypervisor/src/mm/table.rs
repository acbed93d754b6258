//! Tables coming into force and going out of it: validation and devalidation, in pieces.
//!
//! All of it runs under the page-table lock of the tables' owner, so tables move between the states of
//! [`TypeWord`] one at a time; the only others who look at the words are lock-free getters of writable
//! references, and they change nothing but words in state *idle*. That is why leaving *idle* takes an
//! exchange and all other moves are plain stores.
//!
//! Validation goes down level by level, and so does devalidation, so neither meets a table that it is in
//! the middle of. Dissolving a residue of *another* type does not keep to levels; it is never done
//! inside a validation ([`MmError::Residue`] instead), only before one begins: [`Mm::make_plain`].
//!
//! An L1 table is one unit of work. In the others each present entry is one, and after each the machine
//! is asked whether it wants the processor back; so every call that is preempted has done something that
//! is not done again, and repeating calls come to an end.

#![forbid(unsafe_code)]

use super::error::{MmError, Stop};
use super::frame::Frame;
use super::lock::{PendingPut, PtLock};
use super::platform::{Platform, Slot};
use super::pte;
use super::reference::Mm;
use super::typ::{GetExclusive, Level, Type, TypeWord};
use crate::speculation;
use crate::sync::atomic::Ordering;
use guest_abi::ids::Mfn;

/// Entries of a table.
const ENTRIES: u32 = Slot::COUNT as u32;

impl<'m, P: Platform> Mm<'m, P> {
    /// Takes a type reference of `level` on `mfn`, a frame of the lock's domain on which the caller
    /// holds a general reference.
    ///
    /// # Errors
    /// [`Stop::Preempted`]: call again. After an error there may be residues in the tables below;
    /// [`Self::clear_up`] is for those.
    pub(super) fn get_table(
        &self,
        lock: &mut PtLock<'_>,
        mfn: Mfn,
        frame: &Frame,
        level: Level,
    ) -> Result<(), Stop> {
        loop {
            let word = TypeWord::load(frame);
            match word
                .get_exclusive(level.typ())
                .map_err(MmError::for_table)?
            {
                GetExclusive::Granted(next) => {
                    next.store(frame);
                    return Ok(());
                }
                GetExclusive::Establish { next, owes_flush } => {
                    if Self::is_given_up(frame) {
                        return Err(MmError::NotATable.into());
                    }
                    if word.exchange(frame, next).is_err() {
                        continue; // A lock-free getter was faster.
                    }
                    let working = if owes_flush {
                        self.flush_for(word, lock.domain());
                        next.flushed()
                    } else {
                        next
                    };
                    return self.validate(lock, mfn, frame, level, working, 0);
                }
                GetExclusive::Resume(working) => {
                    working.store(frame);
                    let from = frame.aux.load(Ordering::Relaxed);
                    let result = self.validate(lock, mfn, frame, level, working, from);
                    // Either the residue is no more, or a new one has taken a reference of its own.
                    self.put_ref(mfn, frame);
                    return result;
                }
                GetExclusive::Reverse => {
                    self.reverse(lock, mfn, frame, level)?;
                }
                GetExclusive::DissolveFirst => return Err(MmError::Residue.into()),
            }
        }
    }

    /// *working* → *in force*, or *stopped*, or for L1 back to *idle*.
    fn validate(
        &self,
        lock: &mut PtLock<'_>,
        mfn: Mfn,
        frame: &Frame,
        level: Level,
        working: TypeWord,
        from: u32,
    ) -> Result<(), Stop> {
        // Whose frame it is was looked at a moment ago.
        speculation::barrier();
        let Some(below) = level.below() else {
            return match self.validate_l1(lock, mfn) {
                Ok(()) => {
                    working.validated().store(frame);
                    Ok(())
                }
                Err(error) => {
                    working.dissolved(self.platform.stamp()).store(frame);
                    Err(error.into())
                }
            };
        };
        match self.validate_entries(lock, mfn, level, below, from) {
            Ok(()) => {
                working.validated().store(frame);
                Ok(())
            }
            Err((at, stop)) => {
                self.get_another_ref(frame);
                frame.aux.store(at, Ordering::Relaxed);
                working.stopped().store(frame);
                Err(stop)
            }
        }
    }

    /// *dissolving* → *in force* again, with the one reference that was about to be dropped.
    fn reverse(
        &self,
        lock: &mut PtLock<'_>,
        mfn: Mfn,
        frame: &Frame,
        level: Level,
    ) -> Result<(), Stop> {
        let Some(below) = level.below() else {
            return Err(MmError::NotATable.into());
        };
        let dissolving = TypeWord::load(frame);
        let from = frame.aux.load(Ordering::Relaxed);
        match self.validate_entries(lock, mfn, level, below, from) {
            Ok(()) => {
                dissolving.validated().store(frame);
                Ok(())
            }
            Err((at, stop)) => {
                frame.aux.store(at, Ordering::Relaxed);
                Err(stop)
            }
        }
    }

    /// A residue counts the entry whose table was being dissolved when work stopped: the entry still
    /// holds its references, but the table is not in force. Puts it back in force.
    fn reverse_below(
        &self,
        lock: &mut PtLock<'_>,
        table: Mfn,
        level: Level,
        below: Level,
        from: u32,
    ) -> Result<(), Stop> {
        let Some(slot) = from.checked_sub(1).and_then(|last| Slot::new(last.into())) else {
            return Ok(());
        };
        let entry = self.platform.read(table, slot);
        if pte::is_hypervisor_slot(level, slot) || !pte::is_present(entry) {
            return Ok(());
        }
        let mfn = pte::mfn(entry);
        match self.table.get(mfn) {
            Some(frame) if TypeWord::load(frame).is_dissolving() => {
                self.reverse(lock, mfn, frame, below)
            }
            _ => Ok(()),
        }
    }

    /// Takes the references of the entries from `from` on. An error comes with the entry that has none
    /// yet.
    fn validate_entries(
        &self,
        lock: &mut PtLock<'_>,
        table: Mfn,
        level: Level,
        below: Level,
        from: u32,
    ) -> Result<(), (u32, Stop)> {
        self.reverse_below(lock, table, level, below, from)
            .map_err(|stop| (from, stop))?;
        for slot in Slot::range(from, ENTRIES) {
            let at = u32::from(slot.number());
            if pte::is_hypervisor_slot(level, slot) {
                continue;
            }
            let entry = self.platform.read(table, slot);
            if !pte::is_present(entry) {
                continue;
            }
            lock.policy()
                .check(level, entry)
                .map_err(|error| (at, error.into()))?;
            self.get_table_target(lock, entry, below)
                .map_err(|stop| (at, stop))?;
            let adjusted = pte::adjusted(level, entry);
            if adjusted != entry {
                self.platform.write(table, slot, adjusted);
            }
            if at + 1 < ENTRIES && self.platform.should_yield() {
                return Err((at + 1, Stop::Preempted));
            }
        }
        if matches!(level, Level::L4) {
            self.platform.install_hypervisor_slots(table);
        }
        Ok(())
    }

    /// Takes the references of all entries of an L1 table, or of none.
    fn validate_l1(&self, lock: &PtLock<'_>, table: Mfn) -> Result<(), MmError> {
        for slot in Slot::range(0, ENTRIES) {
            let entry = self.platform.read(table, slot);
            if !pte::is_present(entry) {
                continue;
            }
            let adjusted = pte::adjusted(Level::L1, entry);
            let checked = lock.policy().check(Level::L1, entry);
            match checked.and_then(|()| self.get_l1_target(lock, lock.domain(), adjusted)) {
                Ok(adjusted) if adjusted == entry => (),
                Ok(adjusted) => self.platform.write(table, slot, adjusted),
                Err(error) => {
                    self.put_l1_entries(table, slot.number().into());
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn put_l1_entries(&self, table: Mfn, end: u32) {
        for slot in Slot::range(0, end) {
            self.put_l1_target(self.platform.read(table, slot));
        }
    }

    /// Drops a type reference of `level` on `mfn`. The last one takes the table out of force.
    ///
    /// # Errors
    /// [`Stop::Preempted`]: the reference is still held, call again.
    pub(super) fn put_table(
        &self,
        lock: &mut PtLock<'_>,
        mfn: Mfn,
        frame: &Frame,
        level: Level,
    ) -> Result<(), Stop> {
        let word = TypeWord::load(frame);
        if word.typ() != level.typ() || word.count() == 0 {
            debug_assert!(false, "{mfn}: {level:?} reference dropped of {word:?}");
            return Ok(());
        }
        if word.count() > 1 {
            if let Ok(next) = word.put(self.platform.stamp()) {
                next.store(frame);
            }
            return Ok(());
        }
        let Some(below) = level.below() else {
            self.put_l1_entries(mfn, ENTRIES);
            word.dissolved(self.platform.stamp()).store(frame);
            return Ok(());
        };
        let from = if word.is_partial() {
            frame.aux.load(Ordering::Relaxed)
        } else {
            ENTRIES
        };
        let dissolving = word.dissolving();
        dissolving.store(frame);
        frame.aux.store(from, Ordering::Relaxed);
        self.dissolve_entries(lock, mfn, frame, level, below)?;
        dissolving.dissolved(self.platform.stamp()).store(frame);
        Ok(())
    }

    /// Makes `mfn`, a frame of the lock's domain on which the caller holds a reference, ready to become
    /// of type `want`: a residue of another type is dissolved. Tables in force may go out of force.
    ///
    /// # Errors
    /// [`Stop::Preempted`]: call again.
    #[inline]
    pub(super) fn make_plain(
        &self,
        lock: &mut PtLock<'_>,
        mfn: Mfn,
        frame: &Frame,
        want: Type,
    ) -> Result<(), Stop> {
        let word = TypeWord::load(frame);
        if word.is_stopped() && word.typ() != want {
            return self.dissolve_stopped(lock, mfn, frame);
        }
        Ok(())
    }

    /// *stopped* → *idle*. The caller holds a general reference, or something that the lock protects
    /// does.
    ///
    /// # Errors
    /// [`Stop::Preempted`]: call again.
    pub(super) fn dissolve_stopped(
        &self,
        lock: &mut PtLock<'_>,
        mfn: Mfn,
        frame: &Frame,
    ) -> Result<(), Stop> {
        let word = TypeWord::load(frame);
        let Some(level) = word.typ().level().filter(|_| word.is_stopped()) else {
            return Ok(());
        };
        let Some(below) = level.below() else {
            return Ok(());
        };
        self.dissolve_entries(lock, mfn, frame, level, below)?;
        word.dissolved(self.platform.stamp()).store(frame);
        self.put_ref(mfn, frame);
        Ok(())
    }

    /// Drops the references of the entries before the residue, the last one first; the residue moves
    /// with it.
    fn dissolve_entries(
        &self,
        lock: &mut PtLock<'_>,
        table: Mfn,
        frame: &Frame,
        level: Level,
        below: Level,
    ) -> Result<(), Stop> {
        let from = frame.aux.load(Ordering::Relaxed);
        if let Some(slot) = Slot::new(from.into()).filter(|&s| !pte::is_hypervisor_slot(level, s)) {
            self.dissolve_below(lock, self.platform.read(table, slot), below)?;
        }
        for slot in Slot::range(0, from).rev() {
            if pte::is_hypervisor_slot(level, slot) {
                continue;
            }
            let entry = self.platform.read(table, slot);
            if !pte::is_present(entry) {
                continue;
            }
            let at = u32::from(slot.number());
            if let Err(stop) = self.put_table_target(lock, entry, below) {
                frame.aux.store(at + 1, Ordering::Relaxed);
                return Err(stop);
            }
            frame.aux.store(at, Ordering::Relaxed);
            if at > 0 && self.platform.should_yield() {
                return Err(Stop::Preempted);
            }
        }
        Ok(())
    }

    /// The entry at which validation stopped holds nothing, but if it stopped *inside* that entry's
    /// table, there is a residue there too. Nobody depends on its being cleared up, but as long as it
    /// is there the guest finds its frames in use without a reason that it could see.
    fn dissolve_below(&self, lock: &mut PtLock<'_>, entry: u64, below: Level) -> Result<(), Stop> {
        if !pte::is_present(entry) {
            return Ok(());
        }
        let mfn = pte::mfn(entry);
        let Ok(frame) = self.get_ref(mfn, lock.domain()) else {
            return Ok(());
        };
        let word = TypeWord::load(frame);
        let result = if word.is_stopped() && word.typ() == below.typ() {
            self.dissolve_stopped(lock, mfn, frame)
        } else {
            Ok(())
        };
        self.put_ref(mfn, frame);
        result
    }

    /// Clears up after [`Self::get_table`] on `mfn` has failed: what it had got through is undone, now
    /// or, when preempted, before the next operation on the domain's tables.
    pub(super) fn clear_up(&self, lock: &mut PtLock<'_>, mfn: Mfn, stop: Stop) -> Stop {
        if let Stop::Failed(_) = stop
            && let Ok(frame) = self.get_ref(mfn, lock.domain())
        {
            if self.dissolve_stopped(lock, mfn, frame).is_err() {
                lock.state.leave(PendingPut::Residue { mfn });
            } else {
                self.put_ref(mfn, frame);
            }
        }
        stop
    }

    /// Drops a general and a type reference on a table, now or, when preempted, before the next
    /// operation on the domain's tables.
    pub(super) fn put_table_soon(&self, lock: &mut PtLock<'_>, mfn: Mfn, level: Level) {
        let Some(frame) = self.table.get(mfn) else {
            return;
        };
        if self.put_table(lock, mfn, frame, level).is_ok() {
            self.put_ref(mfn, frame);
        } else {
            lock.state.leave(PendingPut::Table { mfn, level });
        }
    }

    /// Goes on with the references that could not be dropped in one go. Every operation that may leave one
    /// begins with this.
    ///
    /// # Errors
    /// [`Stop::Preempted`]: call again.
    #[inline]
    pub fn finish_pending(&self, lock: &mut PtLock<'_>) -> Result<(), Stop> {
        if lock.has_pending() {
            return self.go_on_with_all(lock);
        }
        Ok(())
    }

    #[cold]
    fn go_on_with_all(&self, lock: &mut PtLock<'_>) -> Result<(), Stop> {
        while let Some(pending) = lock.state.pending.pop() {
            self.go_on_with(lock, pending)?;
            if lock.has_pending() && self.platform.should_yield() {
                return Err(Stop::Preempted);
            }
        }
        Ok(())
    }

    fn go_on_with(&self, lock: &mut PtLock<'_>, pending: PendingPut) -> Result<(), Stop> {
        let (PendingPut::Table { mfn, .. } | PendingPut::Residue { mfn }) = pending;
        let Some(frame) = self.table.get(mfn) else {
            return Ok(());
        };
        let result = match pending {
            PendingPut::Table { level, .. } => self.put_table(lock, mfn, frame, level),
            PendingPut::Residue { .. } => self.dissolve_stopped(lock, mfn, frame),
        };
        match result {
            Ok(()) => self.put_ref(mfn, frame),
            Err(_) => lock.state.leave(pending),
        }
        result
    }

    /// Lets go of a general and a type reference on a table that is wanted again soon: nothing is undone. The last
    /// one leaves all of it as a residue, as if validation had stopped behind the last entry, so that whoever
    /// asks next has it at once, and whoever wants the frame as something else dissolves it.
    pub(super) fn suspend_table(&self, lock: &mut PtLock<'_>, mfn: Mfn, level: Level) {
        let Some(frame) = self.table.get(mfn) else {
            return;
        };
        let word = TypeWord::load(frame);
        // What was given up meanwhile nobody asks for again, and nobody would dissolve at the domain's end.
        if word.count() != 1
            || !word.is_table(level)
            || level == Level::L1
            || Self::is_given_up(frame)
        {
            return self.put_table_soon(lock, mfn, level);
        }
        // The general reference is the residue's from now on.
        frame.aux.store(ENTRIES, Ordering::Relaxed);
        word.suspended().store(frame);
    }

    /// Whether `mfn` is a frame of the lock's domain, and what it is. A table in force and a residue stay so as long as the
    /// lock is held and nothing is dropped; anything else may be something else by now, and somebody else's.
    ///
    /// The lock does not keep frames from leaving the domain: without a reference the owner that is read may be the last
    /// one's, and the word already the next one's.
    #[inline]
    pub(super) fn own_word(
        &self,
        lock: &PtLock<'_>,
        mfn: Mfn,
    ) -> Result<(&'m Frame, TypeWord), MmError> {
        let frame = self.get_ref(mfn, lock.domain())?;
        let word = TypeWord::load(frame);
        if word.is_table_in_force() {
            // Whatever keeps it in force has a reference, too.
            self.put_one_of_many(frame);
        } else {
            self.put_maybe_last(mfn, frame);
        }
        Ok((frame, word))
    }

    #[cold]
    fn put_maybe_last(&self, mfn: Mfn, frame: &Frame) {
        self.put_ref(mfn, frame);
    }

    /// Whether `mfn` is a table of `level` of the lock's domain, in force. It stays one as long as the
    /// lock is held and nothing is dropped.
    #[inline]
    pub(super) fn own_table(
        &self,
        lock: &PtLock<'_>,
        mfn: Mfn,
        level: Level,
    ) -> Result<(), MmError> {
        let (_, word) = self.own_word(lock, mfn)?;
        Self::expect_table(word, level)
    }

    /// As [`Self::own_table`] for a frame to which something refers that the lock protects: an entry in force, or a
    /// vCPU whose root it is. Its owner can't change.
    #[inline]
    pub(super) fn held_table(
        &self,
        lock: &PtLock<'_>,
        mfn: Mfn,
        level: Level,
    ) -> Result<(), MmError> {
        let frame = self.table.get(mfn).ok_or(MmError::BadFrame)?;
        if !frame.owner().is(lock.domain()) {
            return Err(MmError::WrongOwner);
        }
        Self::expect_table(TypeWord::load(frame), level)
    }

    #[inline]
    fn expect_table(word: TypeWord, level: Level) -> Result<(), MmError> {
        if word.is_table(level) {
            // What the caller reads there leads to other frames.
            speculation::barrier();
            Ok(())
        } else {
            Err(MmError::NotATable)
        }
    }

    /// The level of `mfn` if it is a table of the lock's domain in force.
    pub(super) fn level_of(word: TypeWord) -> Option<Level> {
        word.typ().level().filter(|&level| word.is_table(level))
    }
}
