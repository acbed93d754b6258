//! Which translation buffers may still hold a mapping that is gone, told by a clock.
//!
//! The machine keeps a *flush clock* that advances with each flush, and each processor remembers the
//! clock's value at its latest complete flush. A frame remembers the clock's value when a use of it
//! ended. A processor whose latest flush is later than that can't hold a translation from that use; all
//! others that ran the domain might, and are flushed when the frame is put to another use. Most are
//! never asked: with one flush a processor becomes innocent for every frame released before.

#![forbid(unsafe_code)]

use guest_abi::ids::DomId;

/// A reading of the flush clock. The clock wraps; readings are compared within half its range, and
/// the implementer of [`Tlb`] sees to it that no processor's latest flush falls that far behind.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(transparent)]
pub struct FlushStamp(pub u32);

impl FlushStamp {
    /// Whether `self` was read after `other` and the clock moved in between.
    #[must_use]
    pub const fn is_after(self, other: Self) -> bool {
        (self.0.wrapping_sub(other.0) as i32) > 0
    }

    /// The later of two readings, `now` being one that was read after both. One that is so old that it looks
    /// younger only asks for more than is owed.
    #[must_use]
    pub const fn later(self, other: Self, now: Self) -> Self {
        if now.0.wrapping_sub(self.0) <= now.0.wrapping_sub(other.0) {
            self
        } else {
            other
        }
    }
}

/// Whose processors may hold the stale translation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Suspects {
    /// Processors that may have run this domain.
    Domain(DomId),
    /// All of them: the frame was also mapped by somebody other than its owner.
    Everyone,
}

/// The machine's translation buffers.
///
/// An implementer owes:
/// 1. `stamp` reads the clock no earlier than every access before the call in program order.
/// 2. When `flush_since` returns, each suspect processor has completed a full flush (global
///    translations and paging-structure caches included) that began when the clock was already later
///    than `stamp`, or is one that will flush before it next runs a guest.
/// 3. `flush_since` may be called with a domain's page-table lock held and interrupts enabled; it never
///    waits for a processor that waits for such a lock with interrupts off.
pub trait Tlb {
    /// The clock now.
    fn stamp(&self) -> FlushStamp;
    /// Flushes the suspects that have not flushed since `stamp`.
    fn flush_since(&self, suspects: Suspects, stamp: FlushStamp);
}
