//! Doubly linked lists of frames, threaded through the frame table: a frame is in at most one.
//!
//! The links are atomic only because the table is shared; a list is changed under the lock that guards
//! its head. Frame 0 is never in a list, so 0 is the null link and a zeroed entry is unlinked.

#![forbid(unsafe_code)]

use super::frame::FrameTable;
use crate::sync::atomic::Ordering;
use guest_abi::ids::Mfn;

/// The null link.
const NIL: u32 = 0;

/// The head of a list of frames.
#[derive(Debug, Default)]
pub struct FrameList {
    head: u32,
    len: u32,
}

impl FrameList {
    /// An empty list.
    #[must_use]
    pub const fn new() -> Self {
        Self { head: NIL, len: 0 }
    }

    /// How many frames it holds.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// Whether it holds none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.head == NIL
    }

    /// The frame that was added last.
    #[must_use]
    pub fn first(&self) -> Option<Mfn> {
        (self.head != NIL).then_some(Mfn(u64::from(self.head)))
    }

    /// The frame after `mfn`, which must be in the list.
    #[must_use]
    pub fn after(&self, table: FrameTable<'_>, mfn: Mfn) -> Option<Mfn> {
        let next = table.get(mfn)?.next.load(Ordering::Relaxed);
        (next != NIL).then_some(Mfn(u64::from(next)))
    }

    /// Puts `mfn`, which is in no list, in front. Frames without an entry and frame 0 are not added.
    pub fn push(&mut self, table: FrameTable<'_>, mfn: Mfn) {
        let (Some(frame), Ok(index)) = (table.get(mfn), u32::try_from(mfn.0)) else {
            return;
        };
        if index == NIL {
            return;
        }
        frame.prev.store(NIL, Ordering::Relaxed);
        frame.next.store(self.head, Ordering::Relaxed);
        if let Some(old) = table.at(self.head).filter(|_| self.head != NIL) {
            old.prev.store(index, Ordering::Relaxed);
        }
        self.head = index;
        self.len = self.len.wrapping_add(1);
    }

    /// Takes `mfn`, which must be in this list, out of it.
    pub fn remove(&mut self, table: FrameTable<'_>, mfn: Mfn) {
        let Some(frame) = table.get(mfn) else { return };
        let prev = frame.prev.load(Ordering::Relaxed);
        let next = frame.next.load(Ordering::Relaxed);
        debug_assert!(
            prev != NIL || u64::from(self.head) == mfn.0,
            "{mfn} is not in this list"
        );
        if prev == NIL {
            self.head = next;
        } else if let Some(before) = table.at(prev) {
            before.next.store(next, Ordering::Relaxed);
        }
        if let Some(after) = table.at(next).filter(|_| next != NIL) {
            after.prev.store(prev, Ordering::Relaxed);
        }
        frame.prev.store(NIL, Ordering::Relaxed);
        frame.next.store(NIL, Ordering::Relaxed);
        self.len = self.len.wrapping_sub(1);
    }
}
