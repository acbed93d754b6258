//! Why an information block was refused.
#![forbid(unsafe_code)]

use core::fmt;

/// The part of the block that an error is about. Names are the specification's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// The block itself: its header and the chain of its tags.
    Block,
    /// Type 0: end of the tags.
    End,
    /// Type 1.
    CommandLine,
    /// Type 2.
    LoaderName,
    /// Type 3.
    Module,
    /// Type 4.
    BasicMemory,
    /// Type 6.
    MemoryMap,
    /// Type 7.
    Vbe,
    /// Type 8.
    Framebuffer,
    /// Type 11.
    Efi32SystemTable,
    /// Type 12.
    Efi64SystemTable,
    /// Type 14.
    RsdpV1,
    /// Type 15.
    RsdpV2,
    /// Type 17.
    EfiMemoryMap,
    /// Type 18.
    EfiBootServices,
    /// Type 21.
    LoadBase,
    /// Any other type; only its length is looked at.
    Unused(u32),
}

impl From<u32> for Tag {
    fn from(number: u32) -> Self {
        match number {
            0 => Self::End,
            1 => Self::CommandLine,
            2 => Self::LoaderName,
            3 => Self::Module,
            4 => Self::BasicMemory,
            6 => Self::MemoryMap,
            7 => Self::Vbe,
            8 => Self::Framebuffer,
            11 => Self::Efi32SystemTable,
            12 => Self::Efi64SystemTable,
            14 => Self::RsdpV1,
            15 => Self::RsdpV2,
            17 => Self::EfiMemoryMap,
            18 => Self::EfiBootServices,
            21 => Self::LoadBase,
            other => Self::Unused(other),
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Block => "information block",
            Self::End => "end tag",
            Self::CommandLine => "command line tag",
            Self::LoaderName => "boot loader name tag",
            Self::Module => "module tag",
            Self::BasicMemory => "basic memory tag",
            Self::MemoryMap => "memory map tag",
            Self::Vbe => "VBE tag",
            Self::Framebuffer => "framebuffer tag",
            Self::Efi32SystemTable => "32-bit EFI system table tag",
            Self::Efi64SystemTable => "64-bit EFI system table tag",
            Self::RsdpV1 => "ACPI 1.0 RSDP tag",
            Self::RsdpV2 => "ACPI 2.0 RSDP tag",
            Self::EfiMemoryMap => "EFI memory map tag",
            Self::EfiBootServices => "EFI boot services tag",
            Self::LoadBase => "load base address tag",
            Self::Unused(number) => return write!(f, "tag of type {number}"),
        })
    }
}

/// The field that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// `total_size` of the block's header.
    TotalSize,
    /// `size` of a tag's header.
    Size,
    /// `mod_end` of a module.
    ModuleEnd,
    /// `entry_size` of a map.
    EntrySize,
    /// The number of entries, which follows from the tag's size.
    EntryCount,
    /// The number of colours in a palette.
    PaletteColours,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TotalSize => "total_size",
            Self::Size => "size",
            Self::ModuleEnd => "mod_end",
            Self::EntrySize => "entry_size",
            Self::EntryCount => "number of entries",
            Self::PaletteColours => "number of colours",
        })
    }
}

/// Why an information block was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootInfoError {
    /// A field is smaller than what it must be at least.
    Below {
        /// Where.
        tag: Tag,
        /// Which field.
        field: Field,
        /// Its value.
        value: u32,
        /// The smallest value that would do.
        minimum: u32,
    },
    /// A field is larger than what it can be at most.
    Above {
        /// Where.
        tag: Tag,
        /// Which field.
        field: Field,
        /// Its value.
        value: u32,
        /// The largest value that would do.
        maximum: u32,
    },
    /// Entries of this size leave a rest at the end of the tag.
    Uneven {
        /// Where.
        tag: Tag,
        /// The size of an entry, bytes.
        entry_bytes: u32,
        /// Bytes that all entries have together.
        bytes: u32,
    },
    /// The string fills its tag to the end without a zero byte.
    Unterminated {
        /// Where.
        tag: Tag,
        /// Bytes that were searched.
        bytes: u32,
    },
    /// The block ends without an end tag.
    NoEndTag {
        /// `total_size` of the block.
        total: u32,
    },
}

impl BootInfoError {
    pub(super) const fn below(tag: Tag, field: Field, value: u32, minimum: u32) -> Self {
        Self::Below {
            tag,
            field,
            value,
            minimum,
        }
    }

    pub(super) const fn above(tag: Tag, field: Field, value: u32, maximum: u32) -> Self {
        Self::Above {
            tag,
            field,
            value,
            maximum,
        }
    }
}

impl fmt::Display for BootInfoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("multiboot2 ")?;
        match *self {
            Self::Below {
                tag,
                field,
                value,
                minimum,
            } => {
                write!(f, "{tag}: {field} is {value}, must be at least {minimum}")
            }
            Self::Above {
                tag,
                field,
                value,
                maximum,
            } => {
                write!(f, "{tag}: {field} is {value}, can be at most {maximum}")
            }
            Self::Uneven {
                tag,
                entry_bytes,
                bytes,
            } => {
                write!(
                    f,
                    "{tag}: entry_size is {entry_bytes}, which does not divide its {bytes} bytes of entries"
                )
            }
            Self::Unterminated { tag, bytes } => {
                write!(f, "{tag}: string has no zero byte within its {bytes} bytes")
            }
            Self::NoEndTag { total } => {
                write!(
                    f,
                    "{}: no end tag within its total_size of {total}",
                    Tag::Block
                )
            }
        }
    }
}

impl core::error::Error for BootInfoError {}
