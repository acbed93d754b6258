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

pub mod bzimage;
pub mod decompress;
pub mod elf;
pub mod pfns;

#[cfg(test)]
mod testing;

/// The two ways to start a domain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DomainKind {
    /// The first domain: it owns the hardware, and has neither store nor console ring.
    Dom0,
    /// Any other domain.
    DomU,
}
