//! The multiboot2 information block: what the boot loader tells.
//!
//! # Why not the `multiboot2` crate
//! The only way into version 0.28 is `unsafe`: a raw pointer whose own length field decides how much is
//! read. Its tag accessors assert: a module tag of 8 bytes, a memory map with an entry size of 0 or a
//! palette that is longer than its tag panics, and a panic before the console exists is a dark screen.
//! The layouts that matter here are few and fixed, so they are read from a slice, with each refusal
//! named; the crate remains the tests' independent writer of blocks.
//!
//! # Rules
//! The block is `total_size: u32, reserved: u32` and then tags, each `type: u32, size: u32, payload`,
//! each starting on a multiple of 8, the last of type 0 (Multiboot2 specification 2.0, section 3.6).
//! A tag that this module uses and that is damaged refuses the whole block: a loader that writes one
//! wrong length can't be believed about the others. Tags that it doesn't use are stepped over. Where a
//! tag that can only be there once is there twice, the first counts.
#![forbid(unsafe_code)]

mod error;
mod fields;
mod screen;

pub use error::{BootInfoError, Field, Tag};
pub use screen::{Framebuffer, FramebufferKind, RgbField, VbeInfo};

use super::memory_map::{FirmwareRange, MemoryKind};
use super::{BootText, Bounded, PhysRange};
use fields::{TagReader, u32_at, u64_at};

/// The value that a multiboot2 loader leaves in EAX.
pub const LOADER_MAGIC: u32 = 0x36d7_6289;
/// Largest block that is looked at, bytes. GRUB's are a few KiB; ELF section headers are most of it.
pub const MAX_BLOCK_BYTES: u32 = 1 << 20;
/// Modules that are kept. The first domain needs two: its kernel and its initial ramdisk.
pub const MAX_MODULES: usize = 16;
/// Entries of a memory map that are looked at. Machines with hundreds of nodes report a few hundred.
pub const MAX_MEMORY_MAP_ENTRIES: usize = 1024;

/// Everything that this project uses from an information block. Borrows strings and copies from it.
#[derive(Clone, Debug, Default)]
pub struct BootInfo<'a> {
    /// Arguments of the image (tag 1). GRUB passes them without the image's path.
    pub command_line: BootText<'a>,
    /// Who loaded us (tag 2).
    pub loader_name: BootText<'a>,
    /// Files that were loaded beside the image (tag 3), in the order of the configuration file.
    pub modules: Bounded<Module<'a>, MAX_MODULES>,
    /// Memory below 1 MiB from 0, and from 1 MiB to the first hole, in KiB (tag 4).
    pub basic_memory: Option<BasicMemory>,
    /// The firmware's memory map (tag 6).
    pub memory_map: Option<MemoryMapEntries<'a>>,
    /// What VBE said about the current mode (tag 7).
    pub vbe: Option<VbeInfo<'a>>,
    /// The screen as the loader left it (tag 8).
    pub framebuffer: Option<Framebuffer>,
    /// Physical address of the EFI system table of a 32-bit firmware (tag 11).
    pub efi32_system_table: Option<u32>,
    /// Physical address of the EFI system table of a 64-bit firmware (tag 12).
    pub efi64_system_table: Option<u64>,
    /// Copy of the ACPI 1.0 root pointer (tag 14); not verified here.
    pub rsdp_v1: Option<&'a [u8]>,
    /// Copy of the ACPI 2.0 root pointer (tag 15); not verified here.
    pub rsdp_v2: Option<&'a [u8]>,
    /// The EFI memory map (tag 17).
    pub efi_memory_map: Option<EfiMemoryMap<'a>>,
    /// Whether EFI boot services still run (tag 18).
    pub is_boot_services_running: bool,
    /// Physical address where the image's first byte was loaded (tag 21).
    pub load_base: Option<u32>,
}

/// Sizes as the BIOS call of 1987 reports them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BasicMemory {
    /// KiB from address 0; at most 640.
    pub lower_kib: u32,
    /// KiB from 1 MiB up to the first hole.
    pub upper_kib: u32,
}

/// A file that the loader put into memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Module<'a> {
    /// Where its bytes are.
    pub range: PhysRange,
    /// The text after the file's path in the loader's configuration.
    pub arguments: BootText<'a>,
}

/// The firmware's memory map as the loader passes it: any order, overlaps and all.
#[derive(Clone, Copy, Debug)]
pub struct MemoryMapEntries<'a> {
    bytes: &'a [u8],
    /// Bytes from entry to entry, at least [`MemoryMapEntries::ENTRY_BYTES`].
    stride: usize,
}

impl<'a> MemoryMapEntries<'a> {
    /// `base: u64, length: u64, type: u32, reserved: u32`.
    const ENTRY_BYTES: usize = 24;

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.chunks_exact(self.stride).len()
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entries in the firmware's order.
    pub fn iter(&self) -> impl Iterator<Item = FirmwareRange> + Clone + use<'a> {
        self.bytes.chunks_exact(self.stride).filter_map(|entry| {
            Some(FirmwareRange {
                base: u64_at(entry, 0)?,
                length: u64_at(entry, 8)?,
                kind: MemoryKind::from_e820(u32_at(entry, 16)?),
            })
        })
    }
}

/// The EFI memory map, as the firmware wrote it.
#[derive(Clone, Copy, Debug)]
pub struct EfiMemoryMap<'a> {
    /// Bytes from descriptor to descriptor; larger than the structure we know, by design of EFI.
    pub descriptor_bytes: u32,
    /// Version of the descriptor's layout; 1 in every firmware known.
    pub descriptor_version: u32,
    /// The descriptors; a multiple of `descriptor_bytes` long.
    pub descriptors: &'a [u8],
}

/// How many bytes to map for the block whose first 8 bytes are `header`.
///
/// # Errors
/// When the block says that it is smaller than the smallest one or larger than [`MAX_BLOCK_BYTES`].
pub fn block_bytes(header: [u8; 8]) -> Result<u32, BootInfoError> {
    let [a, b, c, d, ..] = header;
    let total = u32::from_le_bytes([a, b, c, d]);
    if total < fields::MIN_BLOCK_BYTES {
        return Err(BootInfoError::below(
            Tag::Block,
            Field::TotalSize,
            total,
            fields::MIN_BLOCK_BYTES,
        ));
    }
    if total > MAX_BLOCK_BYTES {
        return Err(BootInfoError::above(
            Tag::Block,
            Field::TotalSize,
            total,
            MAX_BLOCK_BYTES,
        ));
    }
    Ok(total)
}

impl<'a> BootInfo<'a> {
    /// Reads the block that starts at `block`'s first byte; what follows its end is not looked at.
    ///
    /// # Errors
    /// The first damage found, by tag and field.
    pub fn parse(block: &'a [u8]) -> Result<Self, BootInfoError> {
        let mut info = Self::default();
        let mut tags = fields::Tags::new(block)?;
        while let Some(tag) = tags.next_tag()? {
            info.take(tag)?;
        }
        Ok(info)
    }

    /// Keeps what `tag` says, if it is one that is used.
    fn take(&mut self, tag: TagReader<'a>) -> Result<(), BootInfoError> {
        match tag.tag {
            Tag::CommandLine if self.command_line.0.is_empty() => {
                self.command_line = tag.string(0)?
            }
            Tag::LoaderName if self.loader_name.0.is_empty() => self.loader_name = tag.string(0)?,
            Tag::Module => self.modules.push(module(tag)?),
            Tag::BasicMemory => {
                let sizes = BasicMemory {
                    lower_kib: tag.u32(0)?,
                    upper_kib: tag.u32(4)?,
                };
                self.basic_memory.get_or_insert(sizes);
            }
            Tag::MemoryMap => {
                let map = memory_map(tag)?;
                self.memory_map.get_or_insert(map);
            }
            Tag::Vbe => {
                let vbe = screen::vbe(tag)?;
                self.vbe.get_or_insert(vbe);
            }
            Tag::Framebuffer => {
                let framebuffer = screen::framebuffer(tag)?;
                self.framebuffer.get_or_insert(framebuffer);
            }
            Tag::Efi32SystemTable => {
                let address = tag.u32(0)?;
                self.efi32_system_table.get_or_insert(address);
            }
            Tag::Efi64SystemTable => {
                let address = tag.u64(0)?;
                self.efi64_system_table.get_or_insert(address);
            }
            Tag::RsdpV1 => {
                let copy = tag.bytes_from(0)?;
                self.rsdp_v1.get_or_insert(copy);
            }
            Tag::RsdpV2 => {
                let copy = tag.bytes_from(0)?;
                self.rsdp_v2.get_or_insert(copy);
            }
            Tag::EfiMemoryMap => {
                let map = efi_memory_map(tag)?;
                self.efi_memory_map.get_or_insert(map);
            }
            Tag::EfiBootServices => self.is_boot_services_running = true,
            Tag::LoadBase => {
                let base = tag.u32(0)?;
                self.load_base.get_or_insert(base);
            }
            Tag::CommandLine | Tag::LoaderName | Tag::Block | Tag::End | Tag::Unused(_) => {}
        }
        Ok(())
    }

    /// The firmware's ranges: those of the memory map, or, without one, the two that the basic sizes
    /// stand for.
    pub fn firmware_ranges(&self) -> impl Iterator<Item = FirmwareRange> + Clone + use<'a> {
        let map = self.memory_map.filter(|map| !map.is_empty());
        let basic = self.basic_memory.filter(|_| map.is_none());
        let of_map = map.into_iter().flat_map(|map| map.iter());
        of_map.chain(basic.into_iter().flat_map(BasicMemory::ranges))
    }
}

impl BasicMemory {
    /// The two ranges of RAM that these sizes stand for.
    #[must_use]
    pub const fn ranges(self) -> [FirmwareRange; 2] {
        [
            FirmwareRange {
                base: 0,
                length: (self.lower_kib as u64) << 10,
                kind: MemoryKind::Ram,
            },
            FirmwareRange {
                base: 1 << 20,
                length: (self.upper_kib as u64) << 10,
                kind: MemoryKind::Ram,
            },
        ]
    }
}

/// `start: u32, end: u32, string`.
fn module(tag: TagReader<'_>) -> Result<Module<'_>, BootInfoError> {
    let (start, end) = (tag.u32(0)?, tag.u32(4)?);
    if end < start {
        return Err(BootInfoError::below(tag.tag, Field::ModuleEnd, end, start));
    }
    let range = PhysRange {
        start: start.into(),
        end: end.into(),
    };
    Ok(Module {
        range,
        arguments: tag.string(8)?,
    })
}

/// `entry_size: u32, entry_version: u32, entries`.
fn memory_map(tag: TagReader<'_>) -> Result<MemoryMapEntries<'_>, BootInfoError> {
    let stride = tag.u32(0)?;
    tag.u32(4)?;
    let bytes = tag.bytes_from(8)?;
    let stride = tag.stride(stride, MemoryMapEntries::ENTRY_BYTES, bytes.len())?;
    let map = MemoryMapEntries { bytes, stride };
    let limit = MAX_MEMORY_MAP_ENTRIES;
    if map.len() > limit {
        return Err(BootInfoError::above(
            tag.tag,
            Field::EntryCount,
            map.len() as u32,
            limit as u32,
        ));
    }
    Ok(map)
}

/// `descriptor_size: u32, descriptor_version: u32, descriptors`.
fn efi_memory_map(tag: TagReader<'_>) -> Result<EfiMemoryMap<'_>, BootInfoError> {
    /// Version 1 of the descriptor (UEFI specification 2.10, 7.2.3).
    const DESCRIPTOR_BYTES: usize = 40;
    let descriptor_bytes = tag.u32(0)?;
    let descriptor_version = tag.u32(4)?;
    let descriptors = tag.bytes_from(8)?;
    tag.stride(descriptor_bytes, DESCRIPTOR_BYTES, descriptors.len())?;
    Ok(EfiMemoryMap {
        descriptor_bytes,
        descriptor_version,
        descriptors,
    })
}

#[cfg(all(test, not(loom)))]
mod tests;
