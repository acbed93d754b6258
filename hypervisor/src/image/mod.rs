//! Kernel files: from a bzImage or an ELF file to segments, notes and a layout in guest memory.
//!
//! A kernel passes through here in four steps, each of them plain code on byte slices:
//!
//! 1. [`bzimage`] finds the payload in the file that the boot loader gave us;
//! 2. [`decompress`] unpacks it into one buffer of the size that the file declares;
//! 3. [`elf`] reads the unpacked kernel: segments, notes, what it requires;
//! 4. [`layout`] computes where everything of the new domain lies, [`tables`] the page tables that map
//!    it, and [`start`] what the kernel finds in its registers and its first page.
//!
//! Nothing here knows where the domain's frames are, or that there is a hypervisor: the builder of the
//! first domain and the tools that build later ones use the same code. A kernel file is foreign data,
//! so nothing panics on it, and each refusal has a sentence for the person at the console.
#![forbid(unsafe_code)]

use core::fmt;

pub mod bzimage;
pub mod command_line;
pub mod decompress;
pub mod elf;
pub mod layout;
pub mod pfns;
pub mod screen;
pub mod start;
pub mod tables;

#[cfg(all(test, not(loom)))]
mod boot_tests;
#[cfg(all(test, not(loom)))]
mod testing;

/// Why a kernel file does not become a domain. It prints as a sentence for the person at the console.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ImageError {
    /// The file cannot be opened.
    File(bzimage::BzImageError),
    /// Its payload cannot be unpacked.
    Payload(decompress::DecodeError),
    /// The unpacked kernel cannot be loaded.
    Kernel(elf::ElfError),
    /// The domain cannot be laid out for it.
    Layout(layout::LayoutError),
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Payload(error) => error.fmt(f),
            Self::Kernel(error) => error.fmt(f),
            Self::Layout(error) => error.fmt(f),
        }
    }
}

impl From<bzimage::BzImageError> for ImageError {
    fn from(error: bzimage::BzImageError) -> Self {
        Self::File(error)
    }
}

impl From<decompress::DecodeError> for ImageError {
    fn from(error: decompress::DecodeError) -> Self {
        Self::Payload(error)
    }
}

impl From<elf::ElfError> for ImageError {
    fn from(error: elf::ElfError) -> Self {
        Self::Kernel(error)
    }
}

impl From<layout::LayoutError> for ImageError {
    fn from(error: layout::LayoutError) -> Self {
        Self::Layout(error)
    }
}

/// The two ways to start a domain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DomainKind {
    /// The first domain: it owns the hardware, and has neither store nor console ring.
    Dom0,
    /// Any other domain.
    DomU,
}
