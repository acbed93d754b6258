//! What a domain may write of a capability whose messages are interrupts.
//!
//! Where messages go and how many there are is not for a domain to say; that they are sent is.

use super::capability::{MSI_COUNT, Msi, MsiX};
use crate::emulate::insn::Width;
use core::ops::Range;

/// A capability that holds messages which are interrupts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Guard {
    /// Messages in configuration space.
    Msi(Msi),
    /// Messages in a table.
    MsiX(MsiX),
}

impl Guard {
    fn range(self) -> Range<u16> {
        match self {
            Self::Msi(msi) => msi.offset..msi.end(),
            Self::MsiX(msix) => msix.offset..msix.end(),
        }
    }

    /// Whether an access of `width` at `offset` touches the capability.
    #[must_use]
    pub fn covers(self, offset: u16, width: Width) -> bool {
        let range = self.range();
        offset < range.end && u64::from(offset) + width.bytes() > u64::from(range.start)
    }

    /// What becomes of a write that touches it: the value that is written, if any is.
    #[must_use]
    pub fn filter(self, offset: u16, width: Width, value: u32) -> Option<u32> {
        let (control, kept) = match self {
            Self::Msi(msi) => (msi.control(), MSI_COUNT),
            Self::MsiX(msix) => (msix.control(), 0),
        };
        (offset == control && width == Width::Word).then_some(value & !kept)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const MSI: Guard = Guard::Msi(Msi {
        offset: 0x50,
        is_64_bit: true,
        is_maskable: true,
    });
    const MSIX: Guard = Guard::MsiX(MsiX {
        offset: 0x70,
        entries: 3,
        table: (0, 0x1000),
        pending: (0, 0x2000),
    });

    #[test]
    fn only_the_control_word_is_written_and_one_message_stays_one() {
        for guard in [MSI, MSIX] {
            let range = guard.range();
            for offset in range.clone() {
                for width in [Width::Byte, Width::Word, Width::Dword] {
                    assert!(guard.covers(offset, width));
                    let written = guard.filter(offset, width, 0xffff);
                    let is_control = offset == range.start + 2 && width == Width::Word;
                    assert_eq!(written.is_some(), is_control, "{guard:?} {offset:#x}");
                }
            }
        }
        assert_eq!(MSI.filter(0x52, Width::Word, 0xffff), Some(0xff8f));
        assert_eq!(MSIX.filter(0x72, Width::Word, 0xc000), Some(0xc000));
    }

    #[test]
    fn what_lies_around_it_is_not_its_business() {
        assert!(!MSI.covers(0x4c, Width::Dword));
        assert!(MSI.covers(0x4e, Width::Dword));
        assert!(MSI.covers(0x67, Width::Byte));
        assert!(!MSI.covers(0x68, Width::Dword));
        assert!(!MSIX.covers(0x7c, Width::Dword));
    }
}
