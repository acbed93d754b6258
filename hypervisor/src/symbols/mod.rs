//! The symbol table that travels in the image, so that a backtrace names functions and lines of source.
//!
//! DWARF is far too big to load at boot and needs a heap to read. What a backtrace wants is one question,
//! "which line of which function, inlined into which others, is this address?", so the build asks DWARF
//! that question for every address where the answer changes and writes the answers down in a form that
//! is small and that can be read by a processor that is about to die: no heap, no panic, bounded work,
//! whatever the bytes are. [`mod@format`] draws the table, [`table`] reads it; `encode` writes it, on the host
//! only.
//!
//! The linker places a [`Header`] that announces an empty table ([`PLACEHOLDER`]) in the image's last
//! section; `boot/mksymbols` replaces it. An image that has not been through `mksymbols` therefore works,
//! and prints bare addresses.
#![forbid(unsafe_code)]

#[cfg(not(target_os = "none"))]
pub mod encode;
pub mod format;
pub mod table;

#[cfg(all(test, not(loom)))]
mod tests;

pub use format::{Header, PLACEHOLDER};
pub use table::{Frames, Location, SymbolTable, SymbolTableError};
