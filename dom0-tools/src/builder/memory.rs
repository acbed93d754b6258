//! The frames of a guest that is being built.

use super::error::BuildError;
use crate::control::error::ControlError;
use crate::device::foreign_frames::ForeignFrames;
use crate::device::privcmd::Privcmd;
use guest_abi::ids::{DomId, Mfn, PAGE_SHIFT, PAGE_SIZE, Pfn};
use hypervisor::image::elf::{Kernel, Segment};
use hypervisor::image::layout::Layout;
use hypervisor::image::pfns::Pfns;
use hypervisor::image::tables::{Entry, Table, TableWriter};
use std::convert::Infallible;

/// log2 of the frames of a large piece.
const LARGE_ORDER: u32 = 9;
/// Pages that are mapped at once: few enough for small memory, enough that mapping costs little.
const PAGES_AT_ONCE: usize = 1024;
/// KiB of a page.
const PAGE_KIB: u64 = PAGE_SIZE as u64 >> 10;

/// A guest's frames, by its own numbers from 0 on.
pub struct GuestMemory<'p> {
    privcmd: &'p Privcmd,
    domain: DomId,
    frames: Vec<Mfn>,
}

impl<'p> GuestMemory<'p> {
    /// Gives the domain frames for its numbers below `nr_pages`, in large pieces where they are to be had.
    ///
    /// # Errors
    ///
    /// If there are not as many.
    pub fn populate(
        privcmd: &'p Privcmd,
        domain: DomId,
        nr_pages: u64,
    ) -> Result<Self, BuildError> {
        let mut frames: Vec<Mfn> = Vec::new();
        for order in [LARGE_ORDER, 0] {
            let first = frames.len() as u64;
            let extents = (nr_pages - first) >> order;
            if extents != 0 {
                let got = match privcmd.populate(domain, first, extents, order) {
                    // The smaller ones tell whether there is really none.
                    Err(_) if order != 0 => Vec::new(),
                    other => other?,
                };
                frames.extend(
                    got.iter()
                        .flat_map(|&Mfn(start)| (start..start + (1 << order)).map(Mfn)),
                );
            }
        }
        let got = frames.len() as u64;
        if got == nr_pages {
            Ok(Self {
                privcmd,
                domain,
                frames,
            })
        } else {
            Err(BuildError::NoMemory {
                wanted_kib: nr_pages * PAGE_KIB,
                got_kib: got * PAGE_KIB,
            })
        }
    }

    /// The machine frame of one of the guest's numbers.
    ///
    /// # Panics
    ///
    /// If the guest has no such frame: the layout stays within its memory.
    #[must_use]
    pub fn mfn(&self, pfn: Pfn) -> Mfn {
        self.frames
            .get(pfn.0 as usize)
            .copied()
            .unwrap_or_else(|| unreachable!("{pfn} is not the guest's"))
    }

    fn map(&self, pfns: &[Pfn]) -> Result<ForeignFrames, ControlError> {
        let frames: Vec<_> = pfns.iter().map(|&pfn| self.mfn(pfn)).collect();
        ForeignFrames::of(self.privcmd, self.domain, &frames)
    }

    /// Calls `write` for each of the frames, mapped at some page.
    fn each(
        &self,
        pfns: Pfns,
        mut write: impl FnMut(&ForeignFrames, usize, Pfn),
    ) -> Result<(), ControlError> {
        let pfns: Vec<_> = pfns.iter().collect();
        for part in pfns.chunks(PAGES_AT_ONCE) {
            let mapped = self.map(part)?;
            for (page, &pfn) in part.iter().enumerate() {
                write(&mapped, page, pfn);
            }
        }
        Ok(())
    }

    /// Puts the kernel where it wants to be.
    ///
    /// # Errors
    ///
    /// If frames can't be mapped.
    pub fn fill_kernel(&self, kernel: &Kernel<'_>, layout: &Layout) -> Result<(), ControlError> {
        let mut content = Box::new([0; PAGE_SIZE]);
        self.each(layout.kernel, |mapped, page, pfn| {
            // Nearly all pages are parts of the file as they are.
            if let Some(whole) = whole_page(kernel.segments(), pfn) {
                mapped.write(page, 0, whole);
            } else {
                kernel.fill_page(pfn, &mut content);
                mapped.write(page, 0, content.as_slice());
            }
        })
    }

    /// Puts bytes into consecutive frames, and zeros behind them.
    ///
    /// # Errors
    ///
    /// If frames can't be mapped.
    pub fn fill(&self, pfns: Pfns, bytes: &[u8]) -> Result<(), ControlError> {
        self.each(pfns, |mapped, page, pfn| {
            let start = (pfn.0 - pfns.start().0) as usize * PAGE_SIZE;
            let rest = bytes.get(start..).unwrap_or_default();
            let content = rest.get(..PAGE_SIZE).unwrap_or(rest);
            if content.len() < PAGE_SIZE {
                mapped.clear(page);
            }
            mapped.write(page, 0, content);
        })
    }

    /// Makes a frame all zero.
    ///
    /// # Errors
    ///
    /// If it can't be mapped.
    pub fn clear(&self, pfn: Pfn) -> Result<(), ControlError> {
        self.map(&[pfn])?.clear(0);
        Ok(())
    }

    /// Writes the list of the guest's frames; entries behind the last one are invalid.
    ///
    /// # Errors
    ///
    /// If frames can't be mapped.
    pub fn fill_p2m(&self, pfns: Pfns) -> Result<(), ControlError> {
        let mut entries: Vec<u8> = Vec::with_capacity(pfns.len() as usize * PAGE_SIZE);
        for frame in &self.frames {
            entries.extend_from_slice(&frame.0.to_le_bytes());
        }
        entries.resize(pfns.len() as usize * PAGE_SIZE, 0xFF);
        self.fill(pfns, &entries)
    }
}

/// The bytes of a page that only one segment has to do with, if the file gives all of them.
fn whole_page<'a>(segments: &[Segment<'a>], pfn: Pfn) -> Option<&'a [u8]> {
    let start = pfn.0.checked_mul(PAGE_SIZE as u64)?;
    let end = start.checked_add(PAGE_SIZE as u64)?;
    let mut there = segments.iter().filter(|segment| {
        segment.start < end && segment.start.saturating_add(segment.memory_len) > start
    });
    let (Some(only), None) = (there.next(), there.next()) else {
        return None;
    };
    let skip = usize::try_from(start.checked_sub(only.start)?).ok()?;
    only.bytes.get(skip..)?.get(..PAGE_SIZE)
}

/// Page tables, written here before they are copied to the guest's frames.
pub struct TablePages<'g> {
    guest: &'g GuestMemory<'g>,
    pfns: Pfns,
    bytes: Vec<u8>,
}

impl<'g> TablePages<'g> {
    /// Room for the page tables in these frames.
    #[must_use]
    pub fn new(guest: &'g GuestMemory<'g>, pfns: Pfns) -> Self {
        Self {
            guest,
            pfns,
            bytes: vec![0; pfns.len() as usize * PAGE_SIZE],
        }
    }

    /// Copies them to the guest's frames.
    ///
    /// # Errors
    ///
    /// If frames can't be mapped.
    pub fn store(self) -> Result<(), ControlError> {
        self.guest.fill(self.pfns, &self.bytes)
    }

    fn start_of(&self, table: Table) -> usize {
        (table.pfn.0 - self.pfns.start().0) as usize * PAGE_SIZE
    }
}

impl TableWriter for TablePages<'_> {
    type Error = Infallible;

    fn clear(&mut self, table: Table) -> Result<(), Infallible> {
        let start = self.start_of(table);
        if let Some(bytes) = self.bytes.get_mut(start..start + PAGE_SIZE) {
            bytes.fill(0);
        }
        Ok(())
    }

    fn set(&mut self, table: Table, entry: Entry) -> Result<(), Infallible> {
        let value = self.guest.mfn(entry.target).0 << PAGE_SHIFT | entry.flags.bits();
        let at = self.start_of(table) + entry.index * size_of::<u64>();
        if let Some(slot) = self.bytes.get_mut(at..at + size_of::<u64>()) {
            slot.copy_from_slice(&value.to_le_bytes());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_that_one_segment_fills_are_taken_whole() {
        let bytes: Vec<u8> = (0..3 * PAGE_SIZE).map(|at| (at % 251) as u8).collect();
        let first = Segment {
            start: 4096,
            memory_len: 2 * 4096 + 100,
            bytes: bytes.get(..2 * 4096 + 50).unwrap(),
        };
        let second = Segment {
            start: 4096 * 3 + 200,
            memory_len: 4096 * 3,
            bytes: &bytes,
        };
        let segments = [first, second];
        let whole = |pfn| whole_page(&segments, Pfn(pfn));
        assert_eq!(whole(0), None);
        assert_eq!(whole(1), bytes.get(..4096));
        assert_eq!(whole(2), bytes.get(4096..8192));
        // Both have a part of it.
        assert_eq!(whole(3), None);
        assert_eq!(whole(4), bytes.get(4096 - 200..8192 - 200));
        assert_eq!(whole(5), bytes.get(8192 - 200..12288 - 200));
        // Its end is zero.
        assert_eq!(whole(6), None);
        assert_eq!(whole(u64::MAX), None);
    }
}
