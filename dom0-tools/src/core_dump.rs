//! Core dumps of domains, in the format of version 0.1 that tools for crashed kernels read: an ELF file without programme
//! headers whose sections are a note about the hypervisor, the contexts of the vCPUs, the shared frame, a list of frame
//! numbers and the frames.
//!
//! Which frames there are is read from the list that the guest keeps for the tools. A guest may write anything there, so
//! no more frames are taken than the domain has.
#![forbid(unsafe_code)]

use crate::control::error::ControlError;
use crate::control::machine_info::Version;
use guest_abi::ids::{Mfn, PAGE_SIZE};
use guest_abi::shared_info::{ArchSharedInfo, SharedInfo};
use std::fmt;
use std::io::{self, Write};
use std::mem::offset_of;

/// Where a domain's frames are read.
pub trait Frames {
    /// Reads frames, one after the other. One that can't be read is left as it is.
    ///
    /// # Errors
    ///
    /// If none can be read.
    fn read(&self, frames: &[Mfn], into: &mut [u8]) -> Result<(), ControlError>;
}

/// What is known of a domain besides its frames.
pub struct Subject {
    /// Of the hypervisor.
    pub version: Version,
    /// The contexts of its vCPUs, one after the other.
    pub contexts: Vec<u8>,
    /// How many these are.
    pub vcpus: usize,
    /// The frame that it shares with the hypervisor.
    pub shared_info: Mfn,
    /// How many frames it has.
    pub frames: u64,
    /// How many it may have.
    pub most_frames: u64,
}

/// Why there is no core dump.
#[derive(Debug)]
pub enum DumpError {
    /// The guest has no list of frames.
    NoList,
    /// The list names more frames than there are.
    TooLong,
    /// The hypervisor refuses.
    Control(ControlError),
    /// The file can't be written.
    File(io::Error),
}

impl fmt::Display for DumpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoList => f.write_str(
                "the guest's kernel has not said which frames it has (it does so early in its boot)",
            ),
            Self::TooLong => f.write_str("the guest's list of frames names more than it has"),
            Self::Control(error) => error.fmt(f),
            Self::File(error) => write!(f, "the core can't be written: {error}"),
        }
    }
}

impl From<ControlError> for DumpError {
    fn from(error: ControlError) -> Self {
        Self::Control(error)
    }
}

impl From<io::Error> for DumpError {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

/// Entries of a page of frame numbers.
const PER_PAGE: usize = PAGE_SIZE / 8;
/// What such a list can name.
const MOST: u64 = (PER_PAGE * PER_PAGE * PER_PAGE) as u64;
/// A domain's own numbers of frames may leave out a GiB, for devices, as a PC's do.
const HOLES: u64 = 1 << 18;
/// Frame numbers above are marks of the guest: no frame, or not its own.
const MARKS: u64 = 0b11 << 62;
/// Frames that are read at once.
const AT_ONCE: usize = 1024;

const HEADER_BYTES: usize = 64;
const SECTION_BYTES: usize = 64;
const SHT_PROGBITS: u32 = 1;
const SHT_STRTAB: u32 = 3;
const SHT_NOTE: u32 = 7;
/// The core of a paravirtualized domain.
const MAGIC: u64 = 0xf00f_ebed;
const NOTE_NONE: u32 = 0x200_0000;
const NOTE_HEADER: u32 = 0x200_0001;
const NOTE_XEN_VERSION: u32 = 0x200_0002;
const NOTE_FORMAT_VERSION: u32 = 0x200_0003;
const FORMAT_VERSION: u64 = 1;

fn number(bytes: &[u8], offset: usize) -> u64 {
    let bytes = bytes.get(offset..).and_then(<[u8]>::first_chunk);
    bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn list(frames: &impl Frames, frame: u64) -> Result<Vec<u64>, ControlError> {
    let mut page = vec![0; PAGE_SIZE];
    frames.read(&[Mfn(frame)], &mut page)?;
    Ok(page.chunks(8).map(|entry| number(entry, 0)).collect())
}

/// The domain's frames: its own number of each and the machine's.
fn frame_list(
    frames: &impl Frames,
    shared_info: &[u8],
    subject: &Subject,
) -> Result<Vec<(u64, u64)>, DumpError> {
    let arch = offset_of!(SharedInfo, arch);
    let count = number(shared_info, arch + offset_of!(ArchSharedInfo, max_pfn));
    let root = number(
        shared_info,
        arch + offset_of!(ArchSharedInfo, pfn_to_mfn_frame_list_list),
    );
    if count == 0 || root == 0 || root == u64::MAX {
        return Err(DumpError::NoList);
    }
    // Each page of the list is mapped to be read, whatever is in it.
    if count > subject.most_frames.saturating_add(HOLES).min(MOST) {
        return Err(DumpError::TooLong);
    }
    let mut found = Vec::new();
    let leaves = count.div_ceil(PER_PAGE as u64);
    let mut pfn = 0;
    let mut left = leaves;
    for middle in list(frames, root)? {
        if left == 0 {
            break;
        }
        let here = left.min(PER_PAGE as u64);
        left -= here;
        for leaf in list(frames, middle)?.into_iter().take(here as usize) {
            for mfn in list(frames, leaf)? {
                if pfn < count && mfn & MARKS == 0 {
                    found.push((pfn, mfn));
                }
                pfn += 1;
            }
            if found.len() as u64 > subject.frames {
                return Err(DumpError::TooLong);
            }
        }
    }
    Ok(found)
}

fn note(notes: &mut Vec<u8>, kind: u32, content: &[u8]) {
    for word in [4, content.len() as u32, kind] {
        notes.extend(word.to_le_bytes());
    }
    notes.extend(b"Xen\0");
    notes.extend(content);
    notes.resize(notes.len().next_multiple_of(4), 0);
}

fn text(content: &mut Vec<u8>, text: &str, room: usize) {
    let end = content.len() + room;
    content.extend(text.bytes().take(room - 1));
    content.resize(end, 0);
}

fn notes(subject: &Subject, frames: usize) -> Vec<u8> {
    let mut notes = Vec::new();
    note(&mut notes, NOTE_NONE, &[]);
    let header = [MAGIC, subject.vcpus as u64, frames as u64, PAGE_SIZE as u64];
    note(
        &mut notes,
        NOTE_HEADER,
        &header.map(u64::to_le_bytes).concat(),
    );
    let version = &subject.version;
    let mut content = Vec::new();
    content.extend(u64::from(version.major).to_le_bytes());
    content.extend(u64::from(version.minor).to_le_bytes());
    text(&mut content, &version.extra, 16);
    text(&mut content, &version.compiled.compiler, 64);
    text(&mut content, &version.compiled.by, 16);
    text(&mut content, &version.compiled.domain, 32);
    text(&mut content, &version.compiled.date, 32);
    text(&mut content, &version.capabilities, 1024);
    text(&mut content, &version.changeset, 64);
    content.extend(version.virt_start.to_le_bytes());
    content.extend((PAGE_SIZE as u64).to_le_bytes());
    note(&mut notes, NOTE_XEN_VERSION, &content);
    note(
        &mut notes,
        NOTE_FORMAT_VERSION,
        &FORMAT_VERSION.to_le_bytes(),
    );
    notes
}

/// A section: name, kind, bytes, bytes of an entry, alignment.
type Section = (&'static str, u32, u64, u64, u64);

/// The file's beginning up to the first section with content, and where the last one starts.
fn headers(sections: &[Section; 6]) -> (Vec<u8>, u64) {
    let mut names = vec![0];
    let mut table = vec![0; SECTION_BYTES];
    let mut at = (HEADER_BYTES + (sections.len() + 1) * SECTION_BYTES) as u64;
    let mut start = at;
    for &(name, kind, bytes, entry, alignment) in sections {
        start = at.next_multiple_of(alignment);
        table.extend((names.len() as u32).to_le_bytes());
        table.extend(kind.to_le_bytes());
        for word in [0, 0, start, bytes, 0, alignment, entry] {
            table.extend(word.to_le_bytes());
        }
        names.extend(name.bytes());
        names.push(0);
        at = start + bytes;
    }
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    let (core, x86_64) = (4_u16, 62_u16);
    file.extend(core.to_le_bytes());
    file.extend(x86_64.to_le_bytes());
    file.extend(1_u32.to_le_bytes());
    for word in [0, 0, HEADER_BYTES as u64] {
        file.extend(word.to_le_bytes());
    }
    file.extend(0_u32.to_le_bytes());
    let counts = [HEADER_BYTES, 0, 0, SECTION_BYTES, sections.len() + 1, 1];
    for count in counts {
        file.extend((count as u16).to_le_bytes());
    }
    file.extend(table);
    file.extend(names);
    (file, start)
}

const NAMES: [&str; 6] = [
    ".shstrtab",
    ".note.Xen",
    ".xen_prstatus",
    ".xen_shared_info",
    ".xen_p2m",
    ".xen_pages",
];

/// Writes a domain's core, and says how many frames it has.
///
/// # Errors
///
/// If there is no list of frames, if frames can't be read or the file not be written.
pub fn write(
    subject: &Subject,
    frames: &impl Frames,
    file: &mut impl Write,
) -> Result<usize, DumpError> {
    let mut shared_info = vec![0; PAGE_SIZE];
    frames.read(&[subject.shared_info], &mut shared_info)?;
    let listed = frame_list(frames, &shared_info, subject)?;
    let notes = notes(subject, listed.len());
    let names_bytes = NAMES.iter().map(|name| name.len() + 1).sum::<usize>() + 1;
    let per_vcpu = subject.contexts.len() / subject.vcpus.max(1);
    let page = PAGE_SIZE as u64;
    let bytes = [
        (SHT_STRTAB, names_bytes, 0, 1),
        (SHT_NOTE, notes.len(), 0, 4),
        (SHT_PROGBITS, subject.contexts.len(), per_vcpu as u64, 8),
        (SHT_PROGBITS, PAGE_SIZE, page, 8),
        (SHT_PROGBITS, listed.len() * 16, 16, 8),
        (SHT_PROGBITS, listed.len() * PAGE_SIZE, page, page),
    ];
    let mut sections: [Section; 6] = [("", 0, 0, 0, 1); 6];
    for ((section, name), (kind, bytes, entry, alignment)) in
        sections.iter_mut().zip(NAMES).zip(bytes)
    {
        *section = (name, kind, bytes as u64, entry, alignment);
    }
    let (mut head, pages_at) = headers(&sections);
    let pad = |head: &mut Vec<u8>, to: usize| head.resize(head.len().next_multiple_of(to), 0);
    pad(&mut head, 4);
    head.extend(notes);
    pad(&mut head, 8);
    head.extend(&subject.contexts);
    pad(&mut head, 8);
    head.extend(shared_info);
    for (pfn, mfn) in &listed {
        head.extend(pfn.to_le_bytes());
        head.extend(mfn.to_le_bytes());
    }
    head.resize(pages_at as usize, 0);
    file.write_all(&head)?;
    for piece in listed.chunks(AT_ONCE) {
        let numbers: Vec<_> = piece.iter().map(|&(_, mfn)| Mfn(mfn)).collect();
        let mut content = vec![0; piece.len() * PAGE_SIZE];
        frames.read(&numbers, &mut content)?;
        file.write_all(&content)?;
    }
    Ok(listed.len())
}

#[cfg(test)]
mod tests;
