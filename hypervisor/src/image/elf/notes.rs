//! The notes by which a kernel describes itself to whoever loads it.

use super::{
    ElfError, FileHeader, SECTION_NOTE, SEGMENT_NOTE, program_headers, range, section_headers,
};
use core::fmt;
use guest_abi::{
    elf_note::{self, ElfNote},
    features::Features,
    ids::Vaddr,
};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned, little_endian::U32};

/// Most notes, of any owner, that are looked at. Linux has about twenty.
const MAX_NOTES: usize = 4096;
/// The interface that a kernel must be built for.
const INTERFACE: &[u8] = b"xen-3.0";

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct NoteHeader {
    name_len: U32,
    description_len: U32,
    note_type: U32,
}

const _: () = assert!(size_of::<NoteHeader>() == size_of::<elf_note::NoteHeader>());

/// What a kernel says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Notes {
    /// The first instruction; inside the kernel.
    pub entry: Vaddr,
    /// Page that wants to be filled with hypercall stubs: page aligned and inside the kernel.
    pub hypercall_page: Option<Vaddr>,
    /// Where guest-physical 0 is in the initial mapping.
    pub virt_base: Vaddr,
    /// What a segment's physical address has too much. Bytes.
    pub paddr_offset: u64,
    /// Features without which the kernel does not run.
    pub required_features: Features,
    /// Features that the kernel knows, the required ones included.
    pub supported_features: Features,
    /// Whether the kernel states its supported features as a mask, and so the absence of one means that
    /// it is absent.
    pub has_supported_features: bool,
    /// Where the kernel accepts its list of frames instead of inside the kernel mapping.
    pub init_p2m: Option<Vaddr>,
    /// The kernel accepts an initial RAM disk that is not mapped.
    pub takes_unmapped_initrd: bool,
    /// When a level-1 entry holds a machine frame number.
    pub l1_mfn_valid: Option<MaskValue>,
    /// The kernel understands that a suspend was cancelled.
    pub suspend_cancel: bool,
    /// Name of the system, for people.
    pub guest_os: NoteText,
    /// Version of the system, for people.
    pub guest_version: NoteText,
    /// By what it says that it is loaded, for people.
    pub loader: NoteText,
}

/// A test on a page-table entry: `entry & mask == value`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MaskValue {
    /// Bits that are looked at.
    pub mask: u64,
    /// What they must be.
    pub value: u64,
}

/// The beginning of a text in a kernel file. It prints as ASCII, whatever its bytes are.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct NoteText {
    bytes: [u8; 31],
    len: u8,
}

impl NoteText {
    /// The beginning of a text, up to a zero.
    #[must_use]
    pub fn new(text: &[u8]) -> Self {
        let mut result = Self::default();
        for (to, from) in result
            .bytes
            .iter_mut()
            .zip(text.iter().take_while(|byte| **byte != 0))
        {
            *to = *from;
            result.len += 1;
        }
        result
    }

    /// The bytes that were kept, at most 31.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl fmt::Display for NoteText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_bytes().escape_ascii())
    }
}

impl fmt::Debug for NoteText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Collects the notes: those in note segments, or if there is none of ours, those in note sections.
pub(super) fn find(file: &[u8], header: &FileHeader) -> Result<Notes, ElfError> {
    let mut found = Found::new();
    let mut budget = MAX_NOTES;
    for program in
        program_headers(file, header)?.filter(|program| program.kind.get() == SEGMENT_NOTE)
    {
        let bytes = range(
            "note segment",
            file,
            program.offset.get(),
            program.file_len.get(),
        )?;
        found.take_all(bytes, &mut budget)?;
    }
    if !found.any {
        for section in
            section_headers(file, header)?.filter(|section| section.kind.get() == SECTION_NOTE)
        {
            let bytes = range(
                "note section",
                file,
                section.offset.get(),
                section.len.get(),
            )?;
            found.take_all(bytes, &mut budget)?;
        }
    }
    found.finish()
}

/// Notes under collection. Of two notes of one type the later counts.
struct Found {
    any: bool,
    has_other_entry: bool,
    entry: Option<u64>,
    hypercall_page: Option<u64>,
    virt_base: u64,
    paddr_offset: u64,
    required_features: Features,
    supported_features: Features,
    has_supported_features: bool,
    init_p2m: Option<u64>,
    takes_unmapped_initrd: bool,
    l1_mfn_valid: Option<MaskValue>,
    suspend_cancel: bool,
    guest_os: NoteText,
    guest_version: NoteText,
    loader: NoteText,
}

impl Found {
    fn new() -> Self {
        Self {
            any: false,
            has_other_entry: false,
            entry: None,
            hypercall_page: None,
            virt_base: 0,
            paddr_offset: 0,
            required_features: Features::empty(),
            supported_features: Features::empty(),
            has_supported_features: false,
            init_p2m: None,
            takes_unmapped_initrd: false,
            l1_mfn_valid: None,
            suspend_cancel: false,
            guest_os: NoteText::default(),
            guest_version: NoteText::default(),
            loader: NoteText::default(),
        }
    }

    /// Takes the notes in `bytes`; stops at the first that does not fit.
    fn take_all(&mut self, mut bytes: &[u8], budget: &mut usize) -> Result<(), ElfError> {
        while let Ok((header, rest)) = NoteHeader::ref_from_prefix(bytes) {
            let Some((name, rest)) = split_padded(rest, header.name_len.get()) else {
                break;
            };
            let Some((description, rest)) = split_padded(rest, header.description_len.get()) else {
                break;
            };
            bytes = rest;
            *budget = budget
                .checked_sub(1)
                .ok_or(ElfError::TooManyNotes { limit: MAX_NOTES })?;
            let owner = name.strip_suffix(b"\0").unwrap_or(name);
            if owner == elf_note::OWNER.as_bytes() {
                self.any = true;
                if let Ok(note) = ElfNote::try_from(header.note_type.get()) {
                    self.take(note, description)?;
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, note: ElfNote, description: &[u8]) -> Result<(), ElfError> {
        let number = || {
            number(description).ok_or(ElfError::NoteSize {
                note,
                len: description.len(),
            })
        };
        match note {
            ElfNote::Entry => self.entry = Some(number()?),
            ElfNote::HypercallPage => self.hypercall_page = Some(number()?),
            ElfNote::VirtBase => self.virt_base = number()?,
            ElfNote::PaddrOffset => self.paddr_offset = number()?,
            ElfNote::InterfaceVersion if !description.starts_with(INTERFACE) => {
                return Err(ElfError::OtherInterface(NoteText::new(description)));
            }
            ElfNote::GuestOs => self.guest_os = NoteText::new(description),
            ElfNote::Loader => self.loader = NoteText::new(description),
            ElfNote::GuestVersion => self.guest_version = NoteText::new(description),
            ElfNote::Features => self.take_features(description)?,
            ElfNote::SupportedFeatures => {
                // The word that has names is the low one.
                self.supported_features |= Features::from_bits_retain(number()? as u32);
                self.has_supported_features = true;
            }
            ElfNote::L1MfnValid => {
                // Pairs; the first is the one that a 64-bit kernel means.
                let half = description.len().min(16) / 2;
                let (mask, value) = description.split_at_checked(half).unwrap_or_default();
                let value = value.get(..half).and_then(self::number);
                if let (Some(mask), Some(value)) = (self::number(mask), value) {
                    self.l1_mfn_valid = Some(MaskValue { mask, value });
                }
            }
            ElfNote::SuspendCancel => self.suspend_cancel = number()? != 0,
            ElfNote::InitP2m => self.init_p2m = Some(number()?),
            ElfNote::ModStartPfn => self.takes_unmapped_initrd = number()? != 0,
            ElfNote::Phys32Entry => self.has_other_entry = true,
            // For people, for 32-bit kernels, or not offered.
            ElfNote::Info
            | ElfNote::InterfaceVersion
            | ElfNote::PaeMode
            | ElfNote::BsdSymtab
            | ElfNote::HvStartLow => {}
        }
        Ok(())
    }

    /// Takes a list such as `!writable_page_tables|pae_pgdir_above_4gb`.
    fn take_features(&mut self, description: &[u8]) -> Result<(), ElfError> {
        let text = description
            .split(|byte| *byte == 0)
            .next()
            .unwrap_or_default();
        for word in text
            .split(|byte| *byte == b'|')
            .filter(|word| !word.is_empty())
        {
            let (is_required, name) = match word {
                [b'!', name @ ..] => (true, name),
                name => (false, name),
            };
            let feature = Features::all()
                .iter_names()
                .find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name));
            match feature {
                Some((_, feature)) => {
                    self.supported_features |= feature;
                    if is_required {
                        self.required_features |= feature;
                    }
                }
                None if is_required => return Err(ElfError::UnknownFeature(NoteText::new(name))),
                None => {}
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Notes, ElfError> {
        if !self.any {
            return Err(ElfError::NoNotes);
        }
        let entry = self.entry.ok_or(ElfError::NoEntry {
            has_other_entry: self.has_other_entry,
        })?;
        Ok(Notes {
            entry: Vaddr(entry),
            hypercall_page: self.hypercall_page.map(Vaddr),
            virt_base: Vaddr(self.virt_base),
            paddr_offset: self.paddr_offset,
            required_features: self.required_features,
            supported_features: self.supported_features,
            has_supported_features: self.has_supported_features,
            init_p2m: self.init_p2m.map(Vaddr),
            takes_unmapped_initrd: self.takes_unmapped_initrd,
            l1_mfn_valid: self.l1_mfn_valid,
            suspend_cancel: self.suspend_cancel,
            guest_os: self.guest_os,
            guest_version: self.guest_version,
            loader: self.loader,
        })
    }
}

/// The first `len` bytes, and what follows their padding to a multiple of 4. The last note's padding may
/// be missing.
fn split_padded(bytes: &[u8], len: u32) -> Option<(&[u8], &[u8])> {
    let len = usize::try_from(len).ok()?;
    let (taken, rest) = bytes.split_at_checked(len)?;
    Some((
        taken,
        rest.get(len.wrapping_neg() % 4..).unwrap_or_default(),
    ))
}

/// A number of 4 or 8 bytes.
fn number(description: &[u8]) -> Option<u64> {
    match description.len() {
        4 => description
            .try_into()
            .ok()
            .map(u32::from_le_bytes)
            .map(u64::from),
        8 => description.try_into().ok().map(u64::from_le_bytes),
        _ => None,
    }
}
