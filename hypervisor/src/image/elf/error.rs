//! Why a kernel is not loaded, in sentences.

use super::NoteText;
use core::fmt;
use guest_abi::{elf_note::ElfNote, features::Features, ids::Vaddr};

/// Why an unpacked kernel file cannot be loaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ElfError {
    /// The file does not begin as an ELF file does; its first four bytes.
    NotElf([u8; 4]),
    /// The kernel is a 32-bit one.
    Is32Bit,
    /// Neither 32 nor 64 bits.
    UnknownClass(u8),
    /// Built for another processor; the machine number.
    OtherMachine(u16),
    /// Not a linked executable; the file type.
    NotExecutable(u16),
    /// Part of the file is missing.
    Truncated {
        /// Which part.
        what: &'static str,
        /// Where the part ends, in bytes from the start.
        end: u64,
        /// Where the file ends.
        len: usize,
    },
    /// Headers are shorter than their fields.
    HeaderSize {
        /// Which headers.
        what: &'static str,
        /// Bytes of each.
        size: usize,
        /// Bytes that their fields take.
        expected: usize,
    },
    /// More program headers than are looked at.
    TooManyHeaders {
        /// Headers in the file.
        count: u16,
        /// Headers allowed.
        limit: u16,
    },
    /// More segments to load than fit.
    TooManySegments {
        /// Segments allowed.
        limit: usize,
    },
    /// More notes than are looked at.
    TooManyNotes {
        /// Notes allowed.
        limit: usize,
    },
    /// Nothing to load.
    NoSegments,
    /// A segment has more bytes in the file than in memory.
    FileLongerThanMemory {
        /// Physical address of the segment.
        paddr: u64,
        /// Bytes in the file.
        file_len: u64,
        /// Bytes in memory.
        memory_len: u64,
    },
    /// A segment lies below the kernel's own physical offset.
    BelowOffset {
        /// Physical address of the segment.
        paddr: u64,
        /// The offset that the kernel states.
        paddr_offset: u64,
    },
    /// A segment lies too high or is too large.
    TooLarge {
        /// First byte, guest-physical.
        start: u64,
        /// Bytes in memory.
        memory_len: u64,
        /// Where it must end.
        limit: u64,
    },
    /// Two segments share bytes.
    Overlap {
        /// Where the upper one starts, guest-physical.
        start: u64,
        /// Where the lower one ends.
        end: u64,
    },
    /// There is no note for us.
    NoNotes,
    /// There are notes, but none that says where the kernel starts.
    NoEntry {
        /// The kernel has the entry point of another kind of guest.
        has_other_entry: bool,
    },
    /// A note has not the size of a number.
    NoteSize {
        /// Which note.
        note: ElfNote,
        /// Its bytes.
        len: usize,
    },
    /// The kernel is built for another interface.
    OtherInterface(NoteText),
    /// The kernel requires a feature that nobody here has heard of.
    UnknownFeature(NoteText),
    /// The kernel requires features that are not offered.
    MissingFeatures(Features),
    /// The kernel cannot be the first domain; the features that it has.
    NotDom0(Features),
    /// An address in the notes is not in the kernel.
    AddressOutside {
        /// Which address.
        what: &'static str,
        /// Its value.
        address: Vaddr,
        /// Where the kernel starts.
        start: Vaddr,
        /// Where the kernel ends.
        end: Vaddr,
    },
    /// An address in the notes is not at the start of a page.
    Misaligned {
        /// Which address.
        what: &'static str,
        /// Its value.
        address: Vaddr,
    },
}

impl fmt::Display for ElfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const OTHER: &str = "use another kernel";
        const AGAIN: &str = "copy or install the kernel again";
        match *self {
            Self::NotElf([a, b, c, d]) => {
                write!(
                    f,
                    "the kernel begins with {a:02x} {b:02x} {c:02x} {d:02x}, not as an ELF file; {AGAIN}"
                )
            }
            Self::Is32Bit => write!(
                f,
                "the kernel is a 32-bit one; only 64-bit kernels run; {OTHER}"
            ),
            Self::UnknownClass(class) => {
                write!(
                    f,
                    "the kernel has ELF class {class}, which is neither 32 (1) nor 64 bits (2); {AGAIN}"
                )
            }
            Self::OtherMachine(machine) => {
                write!(
                    f,
                    "the kernel is for ELF machine {machine}; x86_64 is 62; {OTHER}"
                )
            }
            Self::NotExecutable(file_type) => {
                write!(
                    f,
                    "the kernel has ELF type {file_type}; a linked executable has type 2; {OTHER}"
                )
            }
            Self::Truncated { what, end, len } => {
                write!(
                    f,
                    "the kernel is truncated: a {what} ends at byte {end} of {len}; {AGAIN}"
                )
            }
            Self::HeaderSize {
                what,
                size,
                expected,
            } => {
                write!(
                    f,
                    "the kernel's {what} have {size} bytes each where {expected} are needed; {AGAIN}"
                )
            }
            Self::TooManyHeaders { count, limit } => {
                write!(
                    f,
                    "the kernel has {count} program headers; at most {limit} are possible; {OTHER}"
                )
            }
            Self::TooManySegments { limit } => {
                write!(
                    f,
                    "the kernel has more than {limit} segments to load; {OTHER}"
                )
            }
            Self::TooManyNotes { limit } => {
                write!(f, "the kernel has more than {limit} notes; {AGAIN}")
            }
            Self::NoSegments => write!(f, "the kernel has no segment to load; {AGAIN}"),
            Self::FileLongerThanMemory {
                paddr,
                file_len,
                memory_len,
            } => write!(
                f,
                "the kernel's segment at {paddr:#x} has {file_len} bytes in the file and only {memory_len} \
                 in memory; {AGAIN}"
            ),
            Self::BelowOffset {
                paddr,
                paddr_offset,
            } => write!(
                f,
                "the kernel's segment at {paddr:#x} lies below the kernel's own PADDR_OFFSET \
                 {paddr_offset:#x}; {OTHER}"
            ),
            Self::TooLarge {
                start,
                memory_len,
                limit,
            } => write!(
                f,
                "the kernel's segment at {start:#x} with {memory_len:#x} bytes exceeds the {limit:#x} bytes \
                 of the initial mapping; {OTHER}"
            ),
            Self::Overlap { start, end } => write!(
                f,
                "the kernel's segments overlap: one starts at {start:#x} where another ends at {end:#x}; {AGAIN}"
            ),
            Self::NoNotes => write!(
                f,
                "the kernel has no ELF notes of owner \"Xen\": it is not built to be a PV guest \
                 (CONFIG_XEN_PV); {OTHER}"
            ),
            Self::NoEntry {
                has_other_entry: true,
            } => write!(
                f,
                "the kernel can be a PVH guest only; PV needs the ELF note ENTRY (CONFIG_XEN_PV); {OTHER}"
            ),
            Self::NoEntry {
                has_other_entry: false,
            } => {
                write!(
                    f,
                    "the kernel has no ELF note ENTRY: it is not a PV kernel; {OTHER}"
                )
            }
            Self::NoteSize { note, len } => write!(
                f,
                "the kernel's ELF note {} ({note:?}) has {len} bytes where 4 or 8 are expected; {AGAIN}",
                note.number()
            ),
            Self::OtherInterface(version) => {
                write!(
                    f,
                    "the kernel is built for interface \"{version}\"; \"xen-3.0\" is offered; {OTHER}"
                )
            }
            Self::UnknownFeature(name) => {
                write!(
                    f,
                    "the kernel requires the feature \"{name}\", which is unknown; {OTHER}"
                )
            }
            Self::MissingFeatures(features) => {
                write!(
                    f,
                    "the kernel requires the features {features:?}, which are not offered; {OTHER}"
                )
            }
            Self::NotDom0(features) => write!(
                f,
                "the kernel cannot be the first domain: its features {:#x} lack bit 11 (dom0, \
                 CONFIG_XEN_DOM0); {OTHER}",
                features.bits()
            ),
            Self::AddressOutside {
                what,
                address,
                start,
                end,
            } => write!(
                f,
                "the kernel's {what} {:#x} is outside the kernel, {:#x} to {:#x}; {AGAIN}",
                address.0, start.0, end.0
            ),
            Self::Misaligned { what, address } => {
                write!(
                    f,
                    "the kernel's {what} {:#x} is not at the start of a page; {AGAIN}",
                    address.0
                )
            }
        }
    }
}
