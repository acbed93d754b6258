//! What the machine is: boot information, memory map and ACPI tables, read without trusting them.
//!
//! Nothing here touches hardware or allocates: bytes and a [`PhysRead`] come in, plain values go out, so
//! it all runs before there is a heap, and the same code runs under host tests and the fuzzers. Firmware
//! and boot loader are believed only after a check, and what fails a check is refused by name.
#![forbid(unsafe_code)]

pub mod acpi;
pub mod bounded;
pub mod efi;
#[cfg(all(test, not(loom)))]
pub(crate) mod fixtures;
pub mod memory_map;
pub mod multiboot;
pub mod phys;
pub mod text;

#[doc(inline)]
pub use bounded::Bounded;
#[doc(inline)]
pub use phys::{PhysRange, PhysRead, PhysReadError};
#[doc(inline)]
pub use text::BootText;
