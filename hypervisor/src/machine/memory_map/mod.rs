//! The machine's memory map: from what firmware says to ranges that are sorted, disjoint and page-aligned
//! where they are RAM.
//!
//! # What firmware does, and what is made of it
//! Entries come in any order, overlap, touch, have no length, or wrap around the end of the address
//! space. The map is built by walking the address space from the bottom: at each address the *worst* kind
//! of all entries that cover it counts ([`MemoryKind`]'s order), and the walk goes on to the next address
//! at which any entry starts or ends. So no byte that any entry calls unusable is ever handed out as RAM.
//! Ranges that touch and agree are joined, and only then RAM is cut to whole frames.
//!
//! # Bounds
//! Nothing is allocated. A map holds [`MAX_RANGES`] ranges after cleaning; when it is full, the walk stops
//! and everything from [`MemoryMap::truncated_at`] on is in no range: it is not RAM, and is never used.
//! More than [`MAX_FIRMWARE_RANGES`] entries are refused, which bounds the walk's time to their square.
#![forbid(unsafe_code)]

use super::phys::{FRAME_BYTES, PHYS_END, PhysRange};
use arrayvec::ArrayVec;
use core::fmt;

/// Ranges that a cleaned map holds. Firmware of large machines reports 50 to 150.
pub const MAX_RANGES: usize = 256;
/// Entries that firmware may report.
pub const MAX_FIRMWARE_RANGES: usize = 1024;

/// What a range of physical addresses is, from best to worst: where two entries overlap, the larger
/// counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MemoryKind {
    /// Free for use.
    Ram,
    /// Holds ACPI tables; RAM for those who have read them.
    AcpiReclaimable,
    /// Belongs to firmware, saved over sleep.
    AcpiNvs,
    /// Belongs to firmware or devices.
    Reserved,
    /// RAM that is broken.
    Unusable,
}

impl MemoryKind {
    /// The kind that an E820 type stands for; types that nobody has defined are reserved (ACPI
    /// specification 6.5, 15.3).
    #[must_use]
    pub const fn from_e820(number: u32) -> Self {
        match number {
            1 => Self::Ram,
            3 => Self::AcpiReclaimable,
            4 => Self::AcpiNvs,
            5 => Self::Unusable,
            _ => Self::Reserved,
        }
    }

    /// The E820 type.
    #[must_use]
    pub const fn to_e820(self) -> u32 {
        match self {
            Self::Ram => 1,
            Self::Reserved => 2,
            Self::AcpiReclaimable => 3,
            Self::AcpiNvs => 4,
            Self::Unusable => 5,
        }
    }
}

impl fmt::Display for MemoryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ram => "RAM",
            Self::AcpiReclaimable => "ACPI data",
            Self::AcpiNvs => "ACPI NVS",
            Self::Reserved => "reserved",
            Self::Unusable => "unusable",
        })
    }
}

/// One entry as firmware reports it. Nothing about it is certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirmwareRange {
    /// First byte.
    pub base: u64,
    /// Bytes.
    pub length: u64,
    /// What it is said to be.
    pub kind: MemoryKind,
}

impl FirmwareRange {
    /// The addresses that can exist: cut at the architecture's end.
    fn span(&self) -> PhysRange {
        let range = PhysRange::from_len(self.base, self.length);
        PhysRange {
            start: range.start.min(PHYS_END),
            end: range.end.min(PHYS_END),
        }
    }
}

/// One range of a cleaned map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryRange {
    /// Its addresses; never empty, and whole frames if it is RAM.
    pub range: PhysRange,
    /// What it is.
    pub kind: MemoryKind,
}

impl fmt::Display for MemoryRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.range, self.kind)
    }
}

/// Why no map could be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryMapError {
    /// More entries than [`MAX_FIRMWARE_RANGES`].
    TooManyRanges,
    /// No whole frame of RAM.
    NoRam,
}

impl fmt::Display for MemoryMapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyRanges => {
                write!(
                    f,
                    "memory map: more than {MAX_FIRMWARE_RANGES} entries, which no firmware has"
                )
            }
            Self::NoRam => f.write_str("memory map: not one whole frame of RAM"),
        }
    }
}

impl core::error::Error for MemoryMapError {}

/// The cleaned memory map: sorted, disjoint, RAM in whole frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryMap {
    ranges: ArrayVec<MemoryRange, MAX_RANGES>,
    truncated_at: Option<u64>,
}

impl Default for MemoryMap {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryMap {
    /// A map without a range.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            ranges: ArrayVec::new_const(),
            truncated_at: None,
        }
    }

    /// Builds the map from firmware's entries, replacing what was there.
    ///
    /// # Errors
    /// Too many entries, or no RAM among them. The map is empty after the first, and without RAM after
    /// the second.
    pub fn fill<I>(&mut self, entries: I) -> Result<(), MemoryMapError>
    where
        I: Iterator<Item = FirmwareRange> + Clone,
    {
        self.ranges.clear();
        self.truncated_at = None;
        if entries.clone().take(MAX_FIRMWARE_RANGES + 1).count() > MAX_FIRMWARE_RANGES {
            return Err(MemoryMapError::TooManyRanges);
        }
        let mut run: Option<MemoryRange> = None;
        let mut at = 0;
        while at < PHYS_END {
            let (kind, next) = kind_at(entries.clone(), at);
            let piece = kind.map(|kind| MemoryRange {
                range: PhysRange {
                    start: at,
                    end: next,
                },
                kind,
            });
            run = match (run, piece) {
                (Some(mut run), Some(piece)) if run.kind == piece.kind => {
                    run.range.end = piece.range.end;
                    Some(run)
                }
                (Some(run), piece) => {
                    self.push(run);
                    piece
                }
                (None, piece) => piece,
            };
            at = next;
        }
        if let Some(run) = run {
            self.push(run);
        }
        if self.ram().next().is_none() {
            Err(MemoryMapError::NoRam)
        } else {
            Ok(())
        }
    }

    /// Appends a finished run, which lies above all that are there. Once one did not fit, none does.
    fn push(&mut self, mut run: MemoryRange) {
        if run.kind == MemoryKind::Ram {
            run.range = run.range.whole_frames();
        }
        if run.range.is_empty() || self.truncated_at.is_some() {
            return;
        }
        if self.ranges.try_push(run).is_err() {
            self.truncated_at = Some(run.range.start);
        }
    }

    /// Takes RAM from `limit` up out of the map, because it can't be addressed, and returns how many bytes that was.
    /// Other kinds stay: devices are where they are.
    pub fn cap_ram(&mut self, limit: u64) -> u64 {
        let before = self.ram_bytes();
        let limit = limit & !(FRAME_BYTES - 1);
        for entry in &mut self.ranges {
            if entry.kind == MemoryKind::Ram {
                entry.range.end = entry.range.end.min(limit).max(entry.range.start);
            }
        }
        self.ranges.retain(|entry| !entry.range.is_empty());
        before - self.ram_bytes()
    }

    /// All ranges, ascending and disjoint.
    #[must_use]
    pub fn ranges(&self) -> &[MemoryRange] {
        &self.ranges
    }

    /// All ranges and, as reserved, what of `denied` lies in none of them: ascending. `denied` must ascend, too.
    pub fn ranges_and<'a>(
        &'a self,
        denied: &'a [PhysRange],
    ) -> impl Iterator<Item = MemoryRange> + 'a {
        let added = denied.iter().filter(|range| {
            let is_known = |entry: &MemoryRange| entry.range.overlaps(range);
            !range.is_empty() && !self.ranges.iter().any(is_known)
        });
        let mut added = added
            .map(|&range| MemoryRange {
                range,
                kind: MemoryKind::Reserved,
            })
            .peekable();
        let mut known = self.ranges.iter().copied().peekable();
        core::iter::from_fn(move || match (known.peek(), added.peek()) {
            (Some(entry), Some(other)) if other.range.start < entry.range.start => added.next(),
            (Some(_), _) => known.next(),
            (None, _) => added.next(),
        })
    }

    /// The address from which on firmware's entries found no room in the map, if there were too many.
    #[must_use]
    pub const fn truncated_at(&self) -> Option<u64> {
        self.truncated_at
    }

    /// Ranges of RAM, ascending, disjoint, whole frames.
    pub fn ram(&self) -> impl DoubleEndedIterator<Item = PhysRange> + Clone + '_ {
        self.ranges
            .iter()
            .filter(|entry| entry.kind == MemoryKind::Ram)
            .map(|entry| entry.range)
    }

    /// Bytes of RAM.
    #[must_use]
    pub fn ram_bytes(&self) -> u64 {
        self.ram().map(|range| range.len()).sum()
    }

    /// One past the highest byte of RAM; 0 without RAM.
    #[must_use]
    pub fn ram_end(&self) -> u64 {
        self.ram().next_back().map_or(0, |range| range.end)
    }

    /// Whether every byte of `range` is RAM. An empty range is not.
    #[must_use]
    pub fn is_ram(&self, range: PhysRange) -> bool {
        !range.is_empty() && self.ram().any(|ram| ram.contains(&range))
    }

    /// What the byte at `address` is; `None` in a hole.
    #[must_use]
    pub fn kind_of(&self, address: u64) -> Option<MemoryKind> {
        let after = self
            .ranges
            .partition_point(|entry| entry.range.start <= address);
        let entry = self.ranges.get(after.checked_sub(1)?)?;
        (address < entry.range.end).then_some(entry.kind)
    }

    /// The frames of RAM that no range of `avoid` touches, ascending. `avoid` may be in any order and
    /// overlap.
    pub fn free<'a>(&'a self, avoid: &'a [PhysRange]) -> impl Iterator<Item = PhysRange> + 'a {
        self.ram().flat_map(move |ram| Gaps { rest: ram, avoid })
    }

    /// The highest place for `bytes` bytes of RAM that ends at or below `below`, starts at a multiple of
    /// `align` (a power of two) and touches no range of `avoid`. `None` if there is no such place.
    #[must_use]
    pub fn find_top_down(
        &self,
        bytes: u64,
        align: u64,
        below: u64,
        avoid: &[PhysRange],
    ) -> Option<u64> {
        if bytes == 0 || !align.is_power_of_two() {
            return None;
        }
        self.ram().rev().find_map(|ram| {
            let mut end = ram.end.min(below);
            loop {
                let start = end.checked_sub(bytes)? & !(align - 1);
                let place = PhysRange::from_len(start, bytes);
                if !ram.contains(&place) {
                    return None;
                }
                // Each turn ends lower than the one before: what is in the way starts below `end`.
                match avoid
                    .iter()
                    .filter(|range| range.overlaps(&place))
                    .map(|range| range.start)
                    .min()
                {
                    Some(obstacle) => end = obstacle,
                    None => return Some(start),
                }
            }
        })
    }
}

/// What counts at address `at`, and the next address above it at which that can change.
fn kind_at(entries: impl Iterator<Item = FirmwareRange>, at: u64) -> (Option<MemoryKind>, u64) {
    let mut kind = None;
    let mut next = PHYS_END;
    for entry in entries {
        let span = entry.span();
        if span.is_empty() || span.end <= at {
            continue;
        }
        if span.start <= at {
            kind = kind.max(Some(entry.kind));
            next = next.min(span.end);
        } else {
            next = next.min(span.start);
        }
    }
    (kind, next)
}

/// The frames of one range that a list of ranges leaves free, ascending.
struct Gaps<'a> {
    /// What has not been looked at yet; whole frames.
    rest: PhysRange,
    avoid: &'a [PhysRange],
}

impl Iterator for Gaps<'_> {
    type Item = PhysRange;

    fn next(&mut self) -> Option<PhysRange> {
        let taken = || {
            self.avoid
                .iter()
                .filter(|range| !range.is_empty())
                .map(PhysRange::touched_frames)
        };
        // Step out of every range that covers the start; each step moves up.
        while let Some(end) = taken()
            .filter(|range| range.start <= self.rest.start && self.rest.start < range.end)
            .map(|r| r.end)
            .max()
        {
            self.rest.start = end;
        }
        if self.rest.is_empty() {
            return None;
        }
        let ahead = taken()
            .filter(|range| range.start > self.rest.start)
            .map(|range| range.start)
            .min();
        let end = ahead.map_or(self.rest.end, |start| start.min(self.rest.end));
        let gap = PhysRange {
            start: self.rest.start,
            end,
        };
        self.rest.start = end;
        Some(gap)
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
