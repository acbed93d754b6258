//! Physical addresses: ranges of them, and reading from them.
#![forbid(unsafe_code)]

use core::fmt;
use guest_abi::ids::PAGE_SIZE;

/// Bytes in a frame, as an address.
pub(crate) const FRAME_BYTES: u64 = PAGE_SIZE as u64;

/// One past the highest physical address that the architecture can have (52 bits, AMD64 manual volume 2,
/// 5.1).
pub const PHYS_END: u64 = 1 << 52;

/// Reads physical memory for those who parse firmware tables.
pub trait PhysRead {
    /// Fills `buf` from the physical address `address` on.
    ///
    /// # Errors
    /// When any byte of the range can't be read; `buf` then holds anything.
    fn read(&self, address: u64, buf: &mut [u8]) -> Result<(), PhysReadError>;
}

impl<P: PhysRead + ?Sized> PhysRead for &P {
    fn read(&self, address: u64, buf: &mut [u8]) -> Result<(), PhysReadError> {
        (**self).read(address, buf)
    }
}

/// The physical memory at `address` can't be read: there is none, or it can't be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhysReadError {
    /// First byte of the read that failed.
    pub address: u64,
}

impl fmt::Display for PhysReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "physical address {:#x} can't be read", self.address)
    }
}

/// The physical bytes from `start` to before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PhysRange {
    /// First byte.
    pub start: u64,
    /// One past the last byte; not below `start` in any range that this room hands out.
    pub end: u64,
}

impl PhysRange {
    /// The range of `len` bytes from `start`; its end stops at the top of the address space.
    #[must_use]
    pub const fn from_len(start: u64, len: u64) -> Self {
        Self {
            start,
            end: start.saturating_add(len),
        }
    }

    /// Bytes in it.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether it holds no byte.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.end <= self.start
    }

    /// Whether some byte is in both.
    #[must_use]
    pub const fn overlaps(&self, other: &Self) -> bool {
        !self.is_empty() && !other.is_empty() && self.start < other.end && other.start < self.end
    }

    /// Whether all bytes of `other` are in it.
    #[must_use]
    pub const fn contains(&self, other: &Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// The whole frames inside it: `start` rounded up, `end` rounded down; perhaps empty.
    #[must_use]
    pub const fn whole_frames(&self) -> Self {
        let start = align_up(self.start);
        let end = align_down(self.end);
        Self {
            start,
            end: if end < start { start } else { end },
        }
    }

    /// All frames that it touches: `start` rounded down, `end` rounded up.
    #[must_use]
    pub const fn touched_frames(&self) -> Self {
        Self {
            start: align_down(self.start),
            end: align_up(self.end),
        }
    }
}

impl fmt::Display for PhysRange {
    /// The way that memory maps are usually printed, with the last byte and not the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:#012x}-{:#012x}",
            self.start,
            self.end.saturating_sub(1)
        )
    }
}

/// `address` rounded down to a frame's first byte.
const fn align_down(address: u64) -> u64 {
    address & !(FRAME_BYTES - 1)
}

/// `address` rounded up to a frame's first byte; the highest frame's where there is no next one.
const fn align_up(address: u64) -> u64 {
    align_down(address.saturating_add(FRAME_BYTES - 1))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn frames_inside_and_around() {
        let range = PhysRange {
            start: 0x1001,
            end: 0x3fff,
        };
        assert_eq!(
            range.whole_frames(),
            PhysRange {
                start: 0x2000,
                end: 0x3000
            }
        );
        assert_eq!(
            range.touched_frames(),
            PhysRange {
                start: 0x1000,
                end: 0x4000
            }
        );
        assert!(
            PhysRange {
                start: 0x1001,
                end: 0x1fff
            }
            .whole_frames()
            .is_empty()
        );
        assert!(
            PhysRange {
                start: u64::MAX - 1,
                end: u64::MAX
            }
            .whole_frames()
            .is_empty()
        );
    }

    #[test]
    fn an_empty_range_overlaps_nothing() {
        let all = PhysRange {
            start: 0,
            end: u64::MAX,
        };
        assert!(!PhysRange { start: 5, end: 5 }.overlaps(&all));
        assert!(PhysRange { start: 5, end: 6 }.overlaps(&all));
        assert!(!PhysRange { start: 5, end: 6 }.overlaps(&PhysRange { start: 6, end: 7 }));
    }
}
