//! The unpacked kernel: an ELF file, read without trusting it.
//!
//! The four structures that matter are declared here and read with `zerocopy`. The `xmas-elf` crate,
//! which reads whole files, slices with the file's own offsets and asserts on size and alignment, so
//! that a damaged kernel would be a panic where it must be a refusal. What is needed is small: program
//! headers, and the notes by which a kernel says how it wants to be started.
//!
//! Segments are placed by their *physical* address: the segment of per-processor data has virtual
//! address 0. A segment's first byte is at guest-physical `p_paddr - PADDR_OFFSET`, and in the initial
//! mapping guest-physical 0 is at virtual `VIRT_BASE`.

use super::{DomainKind, pfns::Pfns};
use arrayvec::ArrayVec;
use core::fmt;
use guest_abi::{
    features::Features,
    ids::{PAGE_SIZE, Pfn, Vaddr},
};
use zerocopy::{
    FromBytes, Immutable, KnownLayout, Unaligned,
    little_endian::{U16, U32, U64},
};

mod error;
mod notes;

#[cfg(all(test, not(loom)))]
mod tests;

pub use error::ElfError;
pub use notes::{MaskValue, NoteText, Notes};

/// Most segments of a kernel that are loaded. Linux has four.
pub const MAX_SEGMENTS: usize = 16;
/// Most program headers that are looked at, whatever their type.
const MAX_HEADERS: u16 = 64;
/// Bytes from guest-physical 0 within which a kernel must lie: what one level-2 table maps.
pub const MAX_EXTENT: u64 = 1 << 30;

const CLASS_32: u8 = 1;
const CLASS_64: u8 = 2;
const LITTLE_ENDIAN: u8 = 1;
const TYPE_EXECUTABLE: u16 = 2;
const MACHINE_X86_64: u16 = 62;
const SEGMENT_LOAD: u32 = 1;
const SEGMENT_NOTE: u32 = 4;
const SECTION_NOTE: u32 = 7;

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct FileHeader {
    magic: [u8; 4],
    class: u8,
    data: u8,
    ident: [u8; 10],
    file_type: U16,
    machine: U16,
    version: U32,
    entry: U64,
    program_headers: U64,
    section_headers: U64,
    flags: U32,
    header_size: U16,
    program_header_size: U16,
    nr_program_headers: U16,
    section_header_size: U16,
    nr_section_headers: U16,
    names_section: U16,
}

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct ProgramHeader {
    kind: U32,
    flags: U32,
    offset: U64,
    vaddr: U64,
    paddr: U64,
    file_len: U64,
    memory_len: U64,
    align: U64,
}

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct SectionHeader {
    name: U32,
    kind: U32,
    flags: U64,
    address: U64,
    offset: U64,
    len: U64,
    link: U32,
    info: U32,
    align: U64,
    entry_len: U64,
}

const _: () = assert!(size_of::<FileHeader>() == 64);
const _: () = assert!(size_of::<ProgramHeader>() == 56);
const _: () = assert!(size_of::<SectionHeader>() == 64);

/// A part of the kernel, where it goes. Its bytes beyond [`Self::bytes`] are zero.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Guest-physical address of the first byte, below [`MAX_EXTENT`].
    pub start: u64,
    /// Bytes in memory; `start + memory_len` is at most [`MAX_EXTENT`].
    pub memory_len: u64,
    /// What the file gives; no longer than `memory_len`.
    pub bytes: &'a [u8],
}

impl<'a> Segment<'a> {
    /// What of the file's bytes lies in the page that begins at `page_start`, and where in it.
    fn part_in(&self, page_start: u64) -> Option<(usize, &'a [u8])> {
        let skip = usize::try_from(page_start.saturating_sub(self.start)).ok()?;
        let at = usize::try_from(self.start.saturating_sub(page_start)).ok()?;
        let room = PAGE_SIZE.checked_sub(at)?;
        let bytes = self.bytes.get(skip..)?;
        Some((at, bytes.get(..room).unwrap_or(bytes)))
    }
}

impl Segment<'_> {
    const fn end(&self) -> u64 {
        self.start.saturating_add(self.memory_len)
    }
}

impl fmt::Debug for Segment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:#x}..{:#x}, {} bytes of file",
            self.start,
            self.end(),
            self.bytes.len()
        )
    }
}

/// A kernel that can be loaded. Segments are in ascending order and do not overlap.
#[derive(Clone, Debug)]
pub struct Kernel<'a> {
    segments: ArrayVec<Segment<'a>, MAX_SEGMENTS>,
    notes: Notes,
}

impl<'a> Kernel<'a> {
    /// Reads an unpacked kernel file.
    ///
    /// # Errors
    ///
    /// See [`ElfError`].
    pub fn parse(file: &'a [u8]) -> Result<Self, ElfError> {
        let header = file_header(file)?;
        let notes = notes::find(file, header)?;
        let mut segments = ArrayVec::new();
        for program in
            program_headers(file, header)?.filter(|program| program.kind.get() == SEGMENT_LOAD)
        {
            if program.memory_len.get() == 0 {
                continue;
            }
            let segment = segment(file, program, notes.paddr_offset)?;
            segments
                .try_push(segment)
                .map_err(|_| ElfError::TooManySegments {
                    limit: MAX_SEGMENTS,
                })?;
        }
        segments.sort_unstable_by_key(|segment: &Segment<'_>| segment.start);
        for (lower, upper) in segments.iter().zip(segments.iter().skip(1)) {
            if upper.start < lower.end() {
                return Err(ElfError::Overlap {
                    start: upper.start,
                    end: lower.end(),
                });
            }
        }
        let kernel = Self { segments, notes };
        if kernel.segments.is_empty() {
            return Err(ElfError::NoSegments);
        }
        kernel.check_address("entry point", kernel.notes.entry)?;
        if let Some(page) = kernel.notes.hypercall_page {
            kernel.check_address("hypercall page", page)?;
            if !page.0.is_multiple_of(PAGE_SIZE as u64) {
                return Err(ElfError::Misaligned {
                    what: "hypercall page",
                    address: page,
                });
            }
        }
        Ok(kernel)
    }

    /// How the kernel wants to be started.
    #[must_use]
    pub const fn notes(&self) -> &Notes {
        &self.notes
    }

    /// What to load, in ascending order.
    #[must_use]
    pub fn segments(&self) -> &[Segment<'a>] {
        &self.segments
    }

    /// The frames from the first segment's start to the last one's end.
    #[must_use]
    pub fn pfns(&self) -> Pfns {
        let start = self.segments.first().map_or(0, |segment| segment.start);
        let end = self.segments.last().map_or(0, Segment::end);
        Pfns::of_bytes(start, end)
    }

    /// Checks that the kernel can run as a domain of this kind, given what is offered to such domains.
    ///
    /// # Errors
    ///
    /// The kernel requires a feature that is not in `offered`, or says that it cannot be the first domain.
    pub fn check_features(&self, kind: DomainKind, offered: Features) -> Result<(), ElfError> {
        // The first is a historic list: kernels require it and then work without.
        let accepted = offered | Features::WRITABLE_PAGE_TABLES | Features::PAE_PGDIR_ABOVE_4GB;
        let missing = self.notes.required_features - accepted;
        if !missing.is_empty() {
            return Err(ElfError::MissingFeatures(missing));
        }
        let is_silent = !self.notes.has_supported_features;
        if kind == DomainKind::Dom0
            && !is_silent
            && !self.notes.supported_features.contains(Features::DOM0)
        {
            return Err(ElfError::NotDom0(self.notes.supported_features));
        }
        Ok(())
    }

    /// Writes what the kernel has in the frame `pfn`: bytes of segments, zeros elsewhere.
    pub fn fill_page(&self, pfn: Pfn, page: &mut [u8; PAGE_SIZE]) {
        let page_start = pfn.0.saturating_mul(PAGE_SIZE as u64);
        let parts = || {
            self.segments
                .iter()
                .filter_map(|segment| segment.part_in(page_start))
        };
        // Most pages are a segment's from end to end, and are written once.
        if !parts().any(|(_, bytes)| bytes.len() == PAGE_SIZE) {
            page.fill(0);
        }
        for (at, bytes) in parts() {
            if let Some(target) = page.get_mut(at..at.saturating_add(bytes.len())) {
                target.copy_from_slice(bytes);
            }
        }
    }

    fn check_address(&self, what: &'static str, address: Vaddr) -> Result<(), ElfError> {
        let pfns = self.pfns();
        let virt = |pfn: Pfn| {
            self.notes
                .virt_base
                .0
                .wrapping_add(pfn.0.saturating_mul(PAGE_SIZE as u64))
        };
        let (start, end) = (Vaddr(virt(pfns.start())), Vaddr(virt(pfns.end())));
        // Relative to the base, so that a mapping that ends at the top of the address space compares.
        let offset = address.0.wrapping_sub(start.0);
        if offset < pfns.len().saturating_mul(PAGE_SIZE as u64) {
            Ok(())
        } else {
            Err(ElfError::AddressOutside {
                what,
                address,
                start,
                end,
            })
        }
    }
}

fn file_header(file: &[u8]) -> Result<&FileHeader, ElfError> {
    let truncated = ElfError::Truncated {
        what: "file header",
        end: size_of::<FileHeader>() as u64,
        len: file.len(),
    };
    if !file.starts_with(b"\x7FELF") {
        let mut first = [0; 4];
        for (to, from) in first.iter_mut().zip(file) {
            *to = *from;
        }
        return Err(ElfError::NotElf(first));
    }
    // The class comes first: a 32-bit header is shorter.
    match file.get(4).copied().ok_or(truncated)? {
        CLASS_64 => {}
        CLASS_32 => return Err(ElfError::Is32Bit),
        class => return Err(ElfError::UnknownClass(class)),
    }
    let (header, _) = FileHeader::ref_from_prefix(file).map_err(|_| truncated)?;
    if header.data != LITTLE_ENDIAN || header.machine.get() != MACHINE_X86_64 {
        return Err(ElfError::OtherMachine(header.machine.get()));
    }
    if header.file_type.get() != TYPE_EXECUTABLE {
        return Err(ElfError::NotExecutable(header.file_type.get()));
    }
    Ok(header)
}

/// The program headers, all inside the file.
fn program_headers<'a>(
    file: &'a [u8],
    header: &FileHeader,
) -> Result<impl Iterator<Item = &'a ProgramHeader> + use<'a>, ElfError> {
    let count = header.nr_program_headers.get();
    if count > MAX_HEADERS {
        return Err(ElfError::TooManyHeaders {
            count,
            limit: MAX_HEADERS,
        });
    }
    table(
        "program headers",
        file,
        header.program_headers.get(),
        header.program_header_size.get(),
        count,
    )
}

/// The section headers, all inside the file; none in a file that is stripped of them.
fn section_headers<'a>(
    file: &'a [u8],
    header: &FileHeader,
) -> Result<impl Iterator<Item = &'a SectionHeader> + use<'a>, ElfError> {
    let count = header.nr_section_headers.get();
    table(
        "section headers",
        file,
        header.section_headers.get(),
        header.section_header_size.get(),
        count,
    )
}

/// `count` headers of type `T`, `stride` bytes apart.
fn table<'a, T: FromBytes + Immutable + KnownLayout + Unaligned + 'a>(
    what: &'static str,
    file: &'a [u8],
    offset: u64,
    stride: u16,
    count: u16,
) -> Result<impl Iterator<Item = &'a T> + use<'a, T>, ElfError> {
    let stride = usize::from(stride);
    if count != 0 && stride < size_of::<T>() {
        return Err(ElfError::HeaderSize {
            what,
            size: stride,
            expected: size_of::<T>(),
        });
    }
    // Two 16-bit numbers: no overflow.
    let len = stride * usize::from(count);
    let bytes = range(what, file, if count == 0 { 0 } else { offset }, len as u64)?;
    Ok(bytes
        .chunks_exact(stride.max(1))
        .filter_map(|entry| T::ref_from_prefix(entry).ok())
        .map(|(entry, _)| entry))
}

/// `len` bytes of the file.
fn range<'a>(
    what: &'static str,
    file: &'a [u8],
    offset: u64,
    len: u64,
) -> Result<&'a [u8], ElfError> {
    let end = offset.saturating_add(len);
    let bytes = match (usize::try_from(offset), usize::try_from(end)) {
        (Ok(start), Ok(end)) => file.get(start..end),
        _ => None,
    };
    bytes.ok_or(ElfError::Truncated {
        what,
        end,
        len: file.len(),
    })
}

fn segment<'a>(
    file: &'a [u8],
    program: &ProgramHeader,
    paddr_offset: u64,
) -> Result<Segment<'a>, ElfError> {
    let (paddr, memory_len, file_len) = (
        program.paddr.get(),
        program.memory_len.get(),
        program.file_len.get(),
    );
    if file_len > memory_len {
        return Err(ElfError::FileLongerThanMemory {
            paddr,
            file_len,
            memory_len,
        });
    }
    let start = paddr
        .checked_sub(paddr_offset)
        .ok_or(ElfError::BelowOffset {
            paddr,
            paddr_offset,
        })?;
    match start.checked_add(memory_len) {
        Some(..=MAX_EXTENT) => {}
        _ => {
            return Err(ElfError::TooLarge {
                start,
                memory_len,
                limit: MAX_EXTENT,
            });
        }
    }
    let bytes = range("segment", file, program.offset.get(), file_len)?;
    Ok(Segment {
        start,
        memory_len,
        bytes,
    })
}
