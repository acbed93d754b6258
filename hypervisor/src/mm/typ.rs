//! The type word of a frame entry and the steps that it may take, as pure functions.
//!
//! Nothing here touches memory: the code that runs and the models that are checked exhaustively share
//! these functions, and differ only in who applies them in which order.

#![forbid(unsafe_code)]

use super::error::MmError;
use super::frame::Frame;
use super::tlb::FlushStamp;
use crate::sync::atomic::Ordering;
use core::fmt;

/// What a frame is used as. Exclusive: a frame has one type as long as its type count is not 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Type {
    /// Never typed since it was allocated. With a count (which only the hypervisor sets, on frames that
    /// it shares read-only) it means that no type is to be had at all.
    None = 0,
    /// Page table whose entries map pages.
    L1 = 1,
    /// Page table whose entries hold L1 tables.
    L2 = 2,
    /// Page table whose entries hold L2 tables.
    L3 = 3,
    /// Page table whose entries hold L3 tables: a root.
    L4 = 4,
    /// Segment descriptors (GDT or LDT).
    SegDesc = 5,
    /// Mapped, or otherwise used, for writing.
    Writable = 6,
}

/// A level of page table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Level {
    /// Entries map pages.
    L1 = 1,
    /// Entries hold L1 tables.
    L2 = 2,
    /// Entries hold L2 tables.
    L3 = 3,
    /// Entries hold L3 tables.
    L4 = 4,
}

impl Level {
    /// All levels, lowest first.
    pub const ALL: [Self; 4] = [Self::L1, Self::L2, Self::L3, Self::L4];

    /// The type of a frame that is a table of this level.
    #[inline]
    #[must_use]
    pub const fn typ(self) -> Type {
        match self {
            Self::L1 => Type::L1,
            Self::L2 => Type::L2,
            Self::L3 => Type::L3,
            Self::L4 => Type::L4,
        }
    }

    /// The level of the tables that this level's entries hold; none for L1.
    #[inline]
    #[must_use]
    pub const fn below(self) -> Option<Self> {
        match self {
            Self::L1 => None,
            Self::L2 => Some(Self::L1),
            Self::L3 => Some(Self::L2),
            Self::L4 => Some(Self::L3),
        }
    }
}

impl Type {
    /// The level, if this is a page table.
    #[inline]
    #[must_use]
    pub const fn level(self) -> Option<Level> {
        match self {
            Self::L1 => Some(Level::L1),
            Self::L2 => Some(Level::L2),
            Self::L3 => Some(Level::L3),
            Self::L4 => Some(Level::L4),
            Self::None | Self::SegDesc | Self::Writable => None,
        }
    }

    const fn of_bits(bits: u64) -> Self {
        match bits & TypeWord::TYPE {
            1 => Self::L1,
            2 => Self::L2,
            3 => Self::L3,
            4 => Self::L4,
            5 => Self::SegDesc,
            6 => Self::Writable,
            _ => Self::None,
        }
    }
}

/// A value of [`Frame::typ`].
///
/// | bits | |
/// |---|---|
/// | 0..=2 | [`Type`]. At count 0 it is the last one, and free to change |
/// | 3 | *valid*: the use that the type stands for is in force. Tables and descriptors: contents were checked and every entry holds its references. `Writable`: the flush owed for the previous type is done |
/// | 4 | *pinned*: one of the counts is held by this flag. Tables only |
/// | 5 | *foreign*: since the last flush for a change of type a domain other than the owner had it writable, so every processor is a suspect |
/// | 6 | *partial*: work on the contents was interrupted, [`Frame::aux`] says where |
/// | 7..=31 | type count, at most [`MAX_COUNT`](Self::MAX_COUNT) |
/// | 32..=63 | the flush clock when a type reference was last dropped |
///
/// Table types and `SegDesc` combine these as follows (all moves between them under the page-table lock
/// of the owner):
///
/// | state | count | valid | partial | meaning |
/// |---|---|---|---|---|
/// | idle | 0 | no | no | contents mean nothing |
/// | stopped | 0 | no | n | validation stopped before entry n; entries `[0, n)` hold references, and the residue holds one general reference on the frame |
/// | working | 1 | no | no | being validated right now by the holder of the lock |
/// | in force | >= 1 | yes | no | all entries hold references |
/// | dissolving | 1 | no | n | devalidation stopped; entries `[0, n)` still hold references; the count is still held by who gives it up |
///
/// `Writable` moves without a lock: idle (count 0) → establishing (count >= 1, not valid, the flush is
/// being made) → in force → idle (count 0, still valid: nothing is owed as long as the type stays).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct TypeWord(pub(super) u64);

impl TypeWord {
    const TYPE: u64 = 7;
    const VALID: u64 = 1 << 3;
    const PINNED: u64 = 1 << 4;
    const FOREIGN: u64 = 1 << 5;
    const PARTIAL: u64 = 1 << 6;
    const ONE: u64 = 1 << 7;
    const COUNT: u64 = ((1 << 25) - 1) << 7;
    const STAMP_SHIFT: u32 = 32;

    /// Type references that a frame can have. One more is refused.
    pub const MAX_COUNT: u64 = Self::COUNT / Self::ONE;

    /// A word of an untyped frame.
    pub const UNTYPED: Self = Self(0);
    /// A page that the hypervisor lets its owner write: one writable reference, the hypervisor's.
    pub const SHARED_WRITABLE: Self = Self(Type::Writable as u64 | Self::VALID | Self::ONE);
    /// A page that nobody but the hypervisor may write: no type can be had.
    pub const SHARED_READ_ONLY: Self = Self(Type::None as u64 | Self::VALID | Self::ONE);

    /// The word of `frame` now.
    #[inline]
    #[must_use]
    pub fn load(frame: &Frame) -> Self {
        Self(frame.typ.load(Ordering::Acquire))
    }

    /// Stores the word. Only in states in which nobody else may change it.
    #[inline]
    pub(super) fn store(self, frame: &Frame) {
        frame.typ.store(self.0, Ordering::Release);
    }

    /// Replaces `self` by `next` in `frame`, unless the word has changed.
    #[inline]
    pub(super) fn exchange(self, frame: &Frame, next: Self) -> Result<(), Self> {
        match frame
            .typ
            .compare_exchange(self.0, next.0, Ordering::AcqRel, Ordering::Acquire)
        {
            Ok(_) => Ok(()),
            Err(now) => Err(Self(now)),
        }
    }

    /// The type, or at count 0 the last one.
    #[inline]
    #[must_use]
    pub const fn typ(self) -> Type {
        Type::of_bits(self.0)
    }

    /// The type count.
    #[inline]
    #[must_use]
    pub const fn count(self) -> u64 {
        (self.0 & Self::COUNT) / Self::ONE
    }

    /// Whether the type is in force.
    #[inline]
    #[must_use]
    pub const fn is_valid(self) -> bool {
        self.0 & Self::VALID != 0
    }

    /// Whether a pin holds one of the counts.
    #[inline]
    #[must_use]
    pub const fn is_pinned(self) -> bool {
        self.0 & Self::PINNED != 0
    }

    /// Whether there is a residue of interrupted work.
    #[inline]
    #[must_use]
    pub const fn is_partial(self) -> bool {
        self.0 & Self::PARTIAL != 0
    }

    /// Whether processors that never ran the owner may hold translations.
    #[inline]
    #[must_use]
    pub const fn is_foreign(self) -> bool {
        self.0 & Self::FOREIGN != 0
    }

    /// When a type reference was last dropped.
    #[inline]
    #[must_use]
    pub const fn stamp(self) -> FlushStamp {
        FlushStamp((self.0 >> Self::STAMP_SHIFT) as u32)
    }

    /// Whether this is a table of `level` whose entries are all in force.
    #[inline]
    #[must_use]
    pub const fn is_table(self, level: Level) -> bool {
        self.0 & (Self::TYPE | Self::VALID) == level as u64 | Self::VALID
            && self.0 & Self::COUNT != 0
    }

    /// Whether this is a table of any level whose entries are all in force.
    #[inline]
    #[must_use]
    pub const fn is_table_in_force(self) -> bool {
        let typ = self.0 & Self::TYPE;
        self.0 & Self::VALID != 0
            && self.0 & Self::COUNT != 0
            && typ >= Level::L1 as u64
            && typ <= Level::L4 as u64
    }

    /// Whether validation stopped half way and nobody has the type: [`Self`]'s state *stopped*.
    #[inline]
    #[must_use]
    pub const fn is_stopped(self) -> bool {
        self.0 & (Self::PARTIAL | Self::COUNT) == Self::PARTIAL
    }

    /// Whether devalidation stopped half way and its reference is still held: state *dissolving*.
    #[inline]
    #[must_use]
    pub const fn is_dissolving(self) -> bool {
        self.0 & (Self::PARTIAL | Self::VALID) == Self::PARTIAL && self.0 & Self::COUNT != 0
    }

    const fn with(self, set: u64, clear: u64) -> Self {
        Self(self.0 & !clear | set)
    }

    /// The word with another moment at which a reference was last dropped. For models too, in which moments
    /// are renumbered.
    #[inline]
    #[must_use]
    pub const fn stamped(self, stamp: FlushStamp) -> Self {
        Self(self.0 & 0xFFFF_FFFF | (stamp.0 as u64) << Self::STAMP_SHIFT)
    }

    /// One more reference of the type that it has.
    #[inline]
    const fn counted(self) -> Result<Self, MmError> {
        if self.0 & Self::COUNT == Self::COUNT {
            return Err(MmError::TooManyReferences);
        }
        Ok(Self(self.0 + Self::ONE))
    }

    /// The first step of taking a writable reference. `foreign`: by a domain other than the owner.
    ///
    /// # Errors
    /// [`MmError::TypeConflict`] while another type is in force; [`MmError::Residue`] in state
    /// *stopped*; [`MmError::TooManyReferences`].
    #[inline]
    pub const fn get_writable(self, foreign: bool) -> Result<GetWritable, MmError> {
        let foreign = if foreign { Self::FOREIGN } else { 0 };
        if matches!(self.typ(), Type::Writable) {
            return match self.counted() {
                Err(error) => Err(error),
                Ok(next) if next.is_valid() => Ok(GetWritable::Granted(next.with(foreign, 0))),
                Ok(next) => Ok(GetWritable::Establish(next.with(foreign, 0))),
            };
        }
        if self.0 & Self::COUNT != 0 {
            return Err(MmError::TypeConflict);
        }
        if self.is_partial() {
            return Err(MmError::Residue);
        }
        let next = self.with(Type::Writable as u64 | Self::ONE | foreign, Self::TYPE);
        if matches!(self.typ(), Type::None) {
            return Ok(GetWritable::Granted(next.with(Self::VALID, 0)));
        }
        Ok(GetWritable::Establish(next))
    }

    /// The last step of taking a writable reference that had to be established: the flush is done.
    #[inline]
    #[must_use]
    pub const fn established(self) -> Self {
        self.with(Self::VALID, 0)
    }

    /// One reference less; not the last one of a table or descriptor page, whose contents have to be
    /// devalidated first. `now` is the flush clock *after* the use ended.
    ///
    /// The clock goes into the word with *every* put, not only with the last: a put that was prepared
    /// as the last one while others came and went then fails its exchange, unless the clock stood still.
    #[inline]
    pub const fn put(self, now: FlushStamp) -> Result<Self, MmError> {
        if self.0 & Self::COUNT == 0 {
            return Err(MmError::NotReferenced);
        }
        Ok(Self(self.0 - Self::ONE).stamped(now))
    }

    /// The first step of taking a reference of type `want`, a table or descriptor type, under the
    /// page-table lock.
    ///
    /// # Errors
    /// [`MmError::TypeConflict`] while another type is in force; [`MmError::TooManyReferences`].
    #[inline]
    pub const fn get_exclusive(self, want: Type) -> Result<GetExclusive, MmError> {
        let is_same = self.0 & Self::TYPE == want as u64;
        if self.0 & Self::COUNT != 0 {
            if !is_same {
                return Err(MmError::TypeConflict);
            }
            if self.is_valid() {
                return match self.counted() {
                    Err(error) => Err(error),
                    Ok(next) => Ok(GetExclusive::Granted(next)),
                };
            }
            // Not the *working* state: who made that holds the lock.
            return Ok(GetExclusive::Reverse);
        }
        if self.is_partial() {
            if is_same {
                return Ok(GetExclusive::Resume(self.with(Self::ONE, Self::PARTIAL)));
            }
            return Ok(GetExclusive::DissolveFirst);
        }
        let next = self.with(want as u64 | Self::ONE, Self::TYPE | Self::VALID);
        let owes_flush = !is_same && !matches!(self.typ(), Type::None);
        Ok(GetExclusive::Establish { next, owes_flush })
    }

    /// *working* after its flush: processors that were suspects for the previous type no longer are.
    #[inline]
    #[must_use]
    pub const fn flushed(self) -> Self {
        self.with(0, Self::FOREIGN)
    }

    /// *working* or *dissolving* → *in force*.
    #[inline]
    #[must_use]
    pub const fn validated(self) -> Self {
        self.with(Self::VALID, Self::PARTIAL)
    }

    /// *working* → *stopped*.
    #[inline]
    #[must_use]
    pub const fn stopped(self) -> Self {
        self.with(Self::PARTIAL, Self::COUNT)
    }

    /// *in force* with its last reference, which is given up while every entry keeps its own → *stopped*.
    #[inline]
    #[must_use]
    pub const fn suspended(self) -> Self {
        self.with(Self::PARTIAL, Self::COUNT | Self::VALID)
    }

    /// *in force* with its last reference → *dissolving*.
    #[inline]
    #[must_use]
    pub const fn dissolving(self) -> Self {
        self.with(Self::PARTIAL, Self::VALID)
    }

    /// *stopped*, *working* or *dissolving*, with no entry left that holds a reference → *idle*.
    #[inline]
    #[must_use]
    pub const fn dissolved(self, now: FlushStamp) -> Self {
        self.with(0, Self::PARTIAL | Self::COUNT | Self::VALID | Self::PINNED)
            .stamped(now)
    }

    /// With the pin flag, which takes over one reference that the caller holds.
    #[inline]
    #[must_use]
    pub const fn pinned(self) -> Self {
        self.with(Self::PINNED, 0)
    }

    /// Without the pin flag; its reference is the caller's again.
    #[inline]
    #[must_use]
    pub const fn unpinned(self) -> Self {
        self.with(0, Self::PINNED)
    }
}

/// How to go on with taking a writable reference.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GetWritable {
    /// Exchange for this: done.
    Granted(TypeWord),
    /// Exchange for this, flush for the former type, then mark it [`TypeWord::established`].
    /// Whoever else finds it unestablished makes the same flush; nobody waits.
    Establish(TypeWord),
}

/// How to go on with taking a table or descriptor reference.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GetExclusive {
    /// In force: this is the word with one reference more.
    Granted(TypeWord),
    /// Idle: exchange for `next` (*working*), flush if it is owed, validate from entry 0.
    Establish {
        /// The word to exchange for.
        next: TypeWord,
        /// Whether translations of the former type may be around.
        owes_flush: bool,
    },
    /// Stopped: this is the word (*working*); validate from the residue.
    Resume(TypeWord),
    /// Dissolving: validate from the residue, then try again.
    Reverse,
    /// Stopped as another type: drop what the residue holds first.
    DissolveFirst,
}

impl fmt::Debug for TypeWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} x{}", self.typ(), self.count())?;
        for (flag, name) in [
            (Self::VALID, " valid"),
            (Self::PINNED, " pinned"),
            (Self::FOREIGN, " foreign"),
            (Self::PARTIAL, " partial"),
        ] {
            if self.0 & flag != 0 {
                f.write_str(name)?;
            }
        }
        write!(f, " @{}", self.stamp().0)
    }
}
