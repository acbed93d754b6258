//! `pygrub`: finds a guest's kernel on the guest's own disk, without mounting it.
//!
//! The guest writes that disk, so all of it is hostile: tables of partitions, file system, configuration. It is read by a
//! [`process`](serve) that has no rights at all ([`confine`]): a user of its own, no files but the disk, which it can only
//! read, and the pipe to who has started it, and no system calls but those for that. What it says is taken as what it is,
//! some bytes, which have an end ([`answer`]); who has started it ([`apart`]) keeps memory for no more than it has asked for.
//!
//! [`partitions`] are looked through in turn ([`volumes`]) for the configuration of GRUB: [`grub1`] and [`grub2`] make a
//! [`menu`] of it, and [`find`] takes an entry.
#![forbid(unsafe_code)]

pub mod answer;
pub mod apart;
mod confine;
mod find;
mod grub1;
mod grub2;
pub mod menu;
mod partitions;
pub mod room;
mod script;
pub mod serve;
mod volumes;

#[cfg(test)]
mod tests;
