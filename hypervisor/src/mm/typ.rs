//! The type word of a frame entry.

#![forbid(unsafe_code)]

use super::atomic::Ordering;
use super::frame::Frame;
use super::tlb::FlushStamp;

/// A value of [`Frame::typ`].
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct TypeWord(u64);

impl TypeWord {
    const STAMP_SHIFT: u32 = 32;

    /// The word of `frame` now.
    #[inline]
    #[must_use]
    pub fn load(frame: &Frame) -> Self {
        Self(frame.typ.load(Ordering::Acquire))
    }

    /// When a use of the frame last ended.
    #[inline]
    #[must_use]
    pub const fn stamp(self) -> FlushStamp {
        FlushStamp((self.0 >> Self::STAMP_SHIFT) as u32)
    }
}
