//! Ranges of a guest's own frame numbers.

use core::fmt;
use guest_abi::ids::{PAGE_SHIFT, Pfn};

/// Consecutive frames of a guest, from a first one up to an end that is not included.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Pfns {
    start: u64,
    end: u64,
}

impl Pfns {
    /// No frames.
    pub const EMPTY: Self = Self { start: 0, end: 0 };

    /// The frames from `start` up to, not including, `end`; none if that is not above `start`.
    #[must_use]
    pub const fn new(start: Pfn, end: Pfn) -> Self {
        let end = if end.0 < start.0 { start.0 } else { end.0 };
        Self {
            start: start.0,
            end,
        }
    }

    /// The frames that hold the bytes from `first` up to, not including, `end`.
    #[must_use]
    pub const fn of_bytes(first: u64, end: u64) -> Self {
        Self::new(Pfn(first >> PAGE_SHIFT), Pfn(pages_for(end)))
    }

    /// The first frame.
    #[must_use]
    pub const fn start(self) -> Pfn {
        Pfn(self.start)
    }

    /// The frame behind the last one.
    #[must_use]
    pub const fn end(self) -> Pfn {
        Pfn(self.end)
    }

    /// How many frames.
    #[must_use]
    pub const fn len(self) -> u64 {
        self.end - self.start
    }

    /// Whether there is no frame.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// Whether `pfn` is one of the frames.
    #[must_use]
    pub const fn contains(self, pfn: Pfn) -> bool {
        self.start <= pfn.0 && pfn.0 < self.end
    }

    /// Whether some frame is in both.
    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        let (start, end) = (max(self.start, other.start), min(self.end, other.end));
        start < end
    }

    /// The frames in ascending order.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = Pfn> + Clone {
        (self.start..self.end).map(Pfn)
    }
}

impl fmt::Display for Pfns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}..{:#x}", self.start, self.end)
    }
}

/// Pages that `bytes` bytes fill, the last one perhaps in part.
#[must_use]
pub const fn pages_for(bytes: u64) -> u64 {
    bytes.div_ceil(1 << PAGE_SHIFT)
}

const fn max(a: u64, b: u64) -> u64 {
    if a > b { a } else { b }
}

const fn min(a: u64, b: u64) -> u64 {
    if a < b { a } else { b }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn ranges_behave_as_half_open_intervals() {
        let range = Pfns::new(Pfn(4), Pfn(8));
        assert_eq!(range.len(), 4);
        assert!(range.contains(Pfn(4)) && range.contains(Pfn(7)));
        assert!(!range.contains(Pfn(3)) && !range.contains(Pfn(8)));
        assert!(range.overlaps(Pfns::new(Pfn(7), Pfn(9))));
        assert!(!range.overlaps(Pfns::new(Pfn(8), Pfn(9))));
        assert!(!range.overlaps(Pfns::new(Pfn(5), Pfn(5))));
        assert!(Pfns::new(Pfn(9), Pfn(3)).is_empty());
        assert_eq!(range.iter().count(), 4);
        assert_eq!(Pfns::of_bytes(0x1FFF, 0x2001), Pfns::new(Pfn(1), Pfn(3)));
        assert_eq!(Pfns::of_bytes(0x1000, 0x1000), Pfns::new(Pfn(1), Pfn(1)));
    }
}
