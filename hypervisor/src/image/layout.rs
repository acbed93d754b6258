//! Where everything of a new domain lies: a computation on frame numbers, without a frame in sight.
//!
//! The initial mapping is one run of pages. Guest-physical 0 is at `VIRT_BASE`, and every page of the
//! mapping is at `VIRT_BASE + pfn * 4096`: kernels compute frame numbers from these addresses. In
//! ascending order, each at the start of a page:
//!
//! ```text
//!   0          low pages: ordinary memory
//!   kernel     where its segments want to be
//!   initrd     only if the kernel cannot take it unmapped
//!   p2m        one 64-bit machine frame number for each frame of the domain
//!   start_info and, in the first domain, the screen's description behind it
//!   store ring, console ring            not in the first domain
//!   page tables                         root first, read-only in the mapping
//!   stack      one page
//!   padding    ordinary memory, 512 KiB or more, up to a multiple of 4 MiB
//!  ---------   end of the mapping
//!   initrd     if the kernel can take it unmapped
//!   the rest of the domain's frames
//! ```
//!
//! The list of frames stays inside the mapping even when the kernel offers a place of its own for it
//! (`INIT_P2M`): that needs more page tables, and bounds nothing below 450 GiB.
//!
//! **Holes.** The first domain later reads the machine's memory map and takes its own frame numbers for
//! machine frame numbers. If its kernel, start-of-day page, page tables or stack have the number of
//! something that is not RAM, Linux gives up; the initial RAM disk and the list of frames it moves. So
//! nothing is placed on a hole if there is another place; the pages that are passed over are memory like
//! any other.

use super::{DomainKind, elf::Kernel, pfns::Pfns, pfns::pages_for};
use guest_abi::{
    address_space::{END_OF_HYPERVISOR_SLOTS, FIRST_HYPERVISOR_SLOT},
    ids::{PAGE_SHIFT, PAGE_SIZE, Pfn, Vaddr},
    start_of_day::{INITIAL_MAPPING_ALIGN, INITIAL_MAPPING_SLACK, StartInfo},
};

mod error;
#[cfg(all(test, not(loom)))]
mod tests;

pub use error::LayoutError;

/// Bytes that one level-2 table maps. The initial mapping has one.
const LEVEL2_SPAN: u64 = 1 << 30;
/// log2 of the bytes that one level-1 table maps.
const LEVEL1_SHIFT: u32 = 21;
/// Page tables above level 1.
const UPPER_TABLES: u64 = 3;
/// Bytes of an entry in the list of frames.
const P2M_ENTRY: u64 = 8;

/// What is to be laid out.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Which kind of domain.
    pub kind: DomainKind,
    /// Frames that the domain has.
    pub nr_pages: u64,
    /// Bytes of the initial RAM disk; 0 for none.
    pub initrd_len: u64,
    /// Bytes of the screen's description behind the start-of-day structure; 0 for none.
    pub screen_info_len: u64,
    /// Frame numbers that are not RAM in the memory map that the domain will read. In any order; empty
    /// for all but the first domain.
    pub holes: &'a [Pfns],
}

/// The initial RAM disk's place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Initrd {
    /// Its frames.
    pub pfns: Pfns,
    /// Its bytes.
    pub len: u64,
    /// Whether it is in the initial mapping; if not, the kernel is told its frame number.
    pub is_mapped: bool,
}

/// Where everything lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// Which kind of domain it was made for.
    pub kind: DomainKind,
    /// Frames that the domain has.
    pub nr_pages: u64,
    /// Virtual address of guest-physical 0.
    pub virt_base: Vaddr,
    /// First instruction.
    pub entry: Vaddr,
    /// From the first segment's start to the last one's end.
    pub kernel: Pfns,
    /// The page for hypercall stubs, which is inside the kernel.
    pub hypercall_page: Option<Pfn>,
    /// The initial RAM disk.
    pub initrd: Option<Initrd>,
    /// The list of machine frame numbers.
    pub p2m: Pfns,
    /// The start-of-day structure, at the start, and the screen's description behind it.
    pub start_info: Pfns,
    /// The ring to the store.
    pub store_ring: Option<Pfn>,
    /// The console's ring.
    pub console_ring: Option<Pfn>,
    /// The page tables: levels 4, 3 and 2, then those of level 1 in the order of what they map.
    pub page_tables: Pfns,
    /// The boot stack.
    pub stack: Pfn,
    /// All pages of the initial mapping; starts at 0.
    pub mapped: Pfns,
}

impl Layout {
    /// Lays out a domain for `kernel`.
    ///
    /// # Errors
    ///
    /// See [`LayoutError`]: the kernel's addresses are unusable or the domain is too small.
    pub fn new(kernel: &Kernel<'_>, request: &Request<'_>) -> Result<Self, LayoutError> {
        let virt_base = kernel.notes().virt_base;
        check_virt_base(virt_base)?;
        let pfns = kernel.pfns();
        if let Some(hole) = request.holes.iter().find(|hole| hole.overlaps(pfns)) {
            return Err(LayoutError::KernelOnHole {
                kernel: pfns,
                hole: *hole,
            });
        }
        // More page tables move the end of the mapping up, and so may ask for more page tables. The
        // number only grows, and 1 GiB has 512 tables of level 1.
        let mut nr_tables = UPPER_TABLES;
        loop {
            let layout = Self::with_tables(kernel, request, nr_tables)?;
            let needed = layout.nr_level1_tables() + UPPER_TABLES;
            if needed == nr_tables {
                return layout.with_unmapped_initrd(kernel, request);
            }
            nr_tables = needed;
        }
    }

    /// The initial mapping, given the number of page tables.
    fn with_tables(
        kernel: &Kernel<'_>,
        request: &Request<'_>,
        nr_tables: u64,
    ) -> Result<Self, LayoutError> {
        let notes = kernel.notes();
        let mut cursor = Cursor {
            next: kernel.pfns().end(),
            holes: request.holes,
        };
        let initrd_pages = pages_for(request.initrd_len);
        let initrd = (initrd_pages != 0 && !notes.takes_unmapped_initrd).then(|| Initrd {
            pfns: cursor.take(initrd_pages),
            len: request.initrd_len,
            is_mapped: true,
        });
        let p2m = cursor.take(pages_for(request.nr_pages.saturating_mul(P2M_ENTRY)));
        let start_info_len =
            (size_of::<StartInfo>() as u64).saturating_add(request.screen_info_len);
        let start_info = cursor.take(pages_for(start_info_len));
        let mut ring = || (request.kind == DomainKind::DomU).then(|| cursor.take(1).start());
        let (store_ring, console_ring) = (ring(), ring());
        let page_tables = cursor.take(nr_tables);
        let stack = cursor.take(1);
        let mapped = padded(notes.virt_base, stack.end())?;
        if mapped.len() > request.nr_pages {
            return Err(LayoutError::TooFewPages {
                needed: mapped.len(),
                nr_pages: request.nr_pages,
            });
        }
        Ok(Self {
            kind: request.kind,
            nr_pages: request.nr_pages,
            virt_base: notes.virt_base,
            entry: notes.entry,
            kernel: kernel.pfns(),
            hypercall_page: notes
                .hypercall_page
                .map(|page| pfn_of(notes.virt_base, page)),
            initrd,
            p2m,
            start_info,
            store_ring,
            console_ring,
            page_tables,
            stack: stack.start(),
            mapped,
        })
    }

    /// Adds an initial RAM disk that the mapping does not have to hold: off the holes if it fits there,
    /// on them if not.
    fn with_unmapped_initrd(
        mut self,
        kernel: &Kernel<'_>,
        request: &Request<'_>,
    ) -> Result<Self, LayoutError> {
        let pages = pages_for(request.initrd_len);
        if pages == 0 || !kernel.notes().takes_unmapped_initrd {
            return Ok(self);
        }
        let behind = |holes| {
            Cursor {
                next: self.mapped.end(),
                holes,
            }
            .take(pages)
        };
        let fits = |pfns: &Pfns| pfns.end().0 <= self.nr_pages && pfns.len() == pages;
        let pfns = Some(behind(request.holes))
            .filter(fits)
            .unwrap_or_else(|| behind(&[]));
        if !fits(&pfns) {
            let needed = self.mapped.len().saturating_add(pages);
            return Err(LayoutError::TooFewPages {
                needed,
                nr_pages: self.nr_pages,
            });
        }
        self.initrd = Some(Initrd {
            pfns,
            len: request.initrd_len,
            is_mapped: false,
        });
        Ok(self)
    }

    /// Virtual address of a page of the initial mapping.
    #[must_use]
    pub const fn vaddr(&self, pfn: Pfn) -> Vaddr {
        Vaddr(self.virt_base.0.wrapping_add(pfn.0 << PAGE_SHIFT))
    }

    /// Virtual address of the byte behind the initial mapping.
    #[must_use]
    pub const fn end(&self) -> Vaddr {
        self.vaddr(self.mapped.end())
    }

    /// Tables of level 1 that the mapping takes.
    fn nr_level1_tables(&self) -> u64 {
        let last = self.vaddr(Pfn(self.mapped.end().0.saturating_sub(1)));
        (last.0 >> LEVEL1_SHIFT)
            .wrapping_sub(self.virt_base.0 >> LEVEL1_SHIFT)
            .wrapping_add(1)
    }
}

/// Hands out frames in ascending order, none of them on a hole.
struct Cursor<'a> {
    next: Pfn,
    holes: &'a [Pfns],
}

impl Cursor<'_> {
    /// The next `pages` frames in one run.
    fn take(&mut self, pages: u64) -> Pfns {
        let mut start = self.next;
        loop {
            let run = Pfns::new(start, Pfn(start.0.saturating_add(pages)));
            match self.holes.iter().find(|hole| hole.overlaps(run)) {
                // Each hole is passed at most once.
                Some(hole) => start = hole.end(),
                None => {
                    self.next = run.end();
                    return run;
                }
            }
        }
    }
}

/// The initial mapping whose last item ends at `end`.
fn padded(virt_base: Vaddr, end: Pfn) -> Result<Pfns, LayoutError> {
    let room = LEVEL2_SPAN - virt_base.0 % LEVEL2_SPAN;
    let needed = end.0.saturating_mul(PAGE_SIZE as u64);
    // The end is aligned as an address; above this room nothing can overflow that fits.
    let too_large = LayoutError::ExceedsMapping {
        needed,
        limit: room,
    };
    if needed > room {
        return Err(too_large);
    }
    let offset = virt_base.0 % INITIAL_MAPPING_ALIGN;
    let aligned =
        (offset + needed + INITIAL_MAPPING_SLACK).next_multiple_of(INITIAL_MAPPING_ALIGN) - offset;
    if aligned > room {
        return Err(too_large);
    }
    Ok(Pfns::of_bytes(0, aligned))
}

/// Checks that a mapping can begin at `virt_base`.
fn check_virt_base(virt_base: Vaddr) -> Result<(), LayoutError> {
    let is_canonical = matches!(virt_base.0 >> 47, 0 | 0x1_FFFF);
    let slot = (virt_base.0 >> 39) as usize % 512;
    let is_ours = (FIRST_HYPERVISOR_SLOT..END_OF_HYPERVISOR_SLOTS).contains(&slot);
    if is_canonical && !is_ours && virt_base.0.is_multiple_of(PAGE_SIZE as u64) {
        Ok(())
    } else {
        Err(LayoutError::VirtBase(virt_base))
    }
}

/// The frame at `page`, which is in the initial mapping.
const fn pfn_of(virt_base: Vaddr, page: Vaddr) -> Pfn {
    Pfn(page.0.wrapping_sub(virt_base.0) >> PAGE_SHIFT)
}
