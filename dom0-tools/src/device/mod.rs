//! The kernel's devices by which the first domain's processes reach the hypervisor and other domains.
//!
//! The only room with `unsafe`: requests of ioctl, whose arguments are the structures of `guest-abi`, and
//! memory that is shared with guests, which is only touched through raw pointers; files that are mapped; and the C library's
//! time zones.
#![allow(unsafe_code)]

pub mod consoles;
pub mod domain_status;
mod domctl;
pub mod event_channels;
pub mod foreign_frames;
pub mod local_time;
pub mod machine;
pub mod mapped_file;
mod memory;
pub mod privcmd;
pub mod shared_frame;
mod sysctl;
pub mod terminal;
