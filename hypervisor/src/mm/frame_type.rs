//! What a frame is used as, in words for who saves its owner.

#![forbid(unsafe_code)]

use super::frame::refs;
use super::platform::Platform;
use super::reference::Mm;
use super::typ::{Level, TypeWord};
use crate::sync::atomic::Ordering;
use guest_abi::domctl_memory::PageFrameType;
use guest_abi::ids::{DomId, Mfn};

impl<P: Platform> Mm<'_, P> {
    /// The type of `mfn`, if it is memory of `owner`'s own. It may change at any moment, unless the owner is
    /// stopped.
    pub fn frame_type(&self, mfn: Mfn, owner: DomId) -> PageFrameType {
        let Ok(frame) = self.get_ref(mfn, owner) else {
            return PageFrameType::Invalid;
        };
        let is_shared = frame.refs.load(Ordering::Relaxed) & refs::SHARED != 0;
        let word = TypeWord::load(frame);
        self.put_ref(mfn, frame);
        if is_shared {
            return PageFrameType::Invalid;
        }
        let level = word
            .typ()
            .level()
            .filter(|&level| word.is_table(level) || word.is_pinned());
        match (level, word.is_pinned()) {
            (None, _) => PageFrameType::NoTable,
            (Some(Level::L1), false) => PageFrameType::L1,
            (Some(Level::L2), false) => PageFrameType::L2,
            (Some(Level::L3), false) => PageFrameType::L3,
            (Some(Level::L4), false) => PageFrameType::L4,
            (Some(Level::L1), true) => PageFrameType::PinnedL1,
            (Some(Level::L2), true) => PageFrameType::PinnedL2,
            (Some(Level::L3), true) => PageFrameType::PinnedL3,
            (Some(Level::L4), true) => PageFrameType::PinnedL4,
        }
    }
}
