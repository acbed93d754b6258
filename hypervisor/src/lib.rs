//! Paravane: a type-1 paravirtualizing hypervisor for x86_64.
//!
//! Each mechanism is a room of its own and is plain code: it compiles with the standard library under
//! `cargo test` on the host. [`arch`] alone knows registers, instructions and descriptor tables, and
//! exists only on the bare-metal target.
#![cfg_attr(not(any(test, fuzzing)), no_std)]
#![deny(unsafe_code)]

#[cfg(target_os = "none")]
extern crate alloc;

#[allow(
    unsafe_code,
    reason = "registers, descriptors, page tables and guests' memory"
)]
pub mod arch;
#[cfg(any(test, fuzzing))]
#[cfg_attr(
    loom,
    allow(dead_code, reason = "most of these calls are not made there")
)]
mod call_bytes;
pub mod console;
pub mod continuation;
pub mod control;
pub mod cpu_policy;
pub mod domain;
pub mod emulate;
pub mod event;
pub mod grant;
pub mod growth;
#[cfg(target_os = "none")]
mod hypercall;
pub mod image;
pub mod irq;
#[allow(unsafe_code, reason = "locks of the dead are opened by force")]
pub mod lock;
pub mod machine;
#[cfg(all(test, not(loom)))]
mod made_up_bytes;
pub mod mm;
pub mod options;
pub mod pci;
pub mod platform;
pub mod registers;
pub mod sched;
pub mod speculation;
pub mod symbols;
pub mod sync;
#[cfg(all(test, not(loom)))]
mod test_cases;
pub mod time;
