//! Frames, entries and tables of this kernel's address space.

mod frame;
mod machine_map;
mod tables;
mod update;

pub(crate) use frame::{Frame, init};
pub(crate) use machine_map::MachineMap;
pub(crate) use tables::{Tables, index, leaf_of, make_readonly, make_writable};
pub(crate) use update::{
    mmu_update, mmuext, mmuext_one, mmuext_two, pin, set_entry, typed_update, unpin, update,
    update_va_mapping,
};

use guest_abi::ids::{Mfn, Vaddr};

/// Bits of page-table entries.
pub(crate) const PRESENT: u64 = 1 << 0;
pub(crate) const WRITABLE: u64 = 1 << 1;
pub(crate) const USER: u64 = 1 << 2;
pub(crate) const WRITE_THROUGH: u64 = 1 << 3;
pub(crate) const CACHE_DISABLE: u64 = 1 << 4;
pub(crate) const ACCESSED: u64 = 1 << 5;
pub(crate) const DIRTY: u64 = 1 << 6;
/// In levels above 1.
pub(crate) const LARGE: u64 = 1 << 7;
/// In level 1.
pub(crate) const PAT: u64 = 1 << 7;
pub(crate) const GLOBAL: u64 = 1 << 8;
pub(crate) const NO_EXECUTE: u64 = 1 << 63;
/// Where an entry holds its frame.
pub(crate) const FRAME_MASK: u64 = 0x000f_ffff_ffff_f000;

/// A page of the kernel.
pub(crate) const KERNEL_RW: u64 = PRESENT | WRITABLE | ACCESSED | DIRTY;
/// A page that the kernel only reads.
pub(crate) const KERNEL_RO: u64 = PRESENT | ACCESSED;
/// An entry that leads to a table.
pub(crate) const TABLE: u64 = PRESENT | WRITABLE | USER | ACCESSED | DIRTY;

/// An entry for a frame.
pub(crate) fn entry(mfn: Mfn, flags: u64) -> u64 {
    mfn.address() | flags
}

/// A range of the kernel's half that the initial mapping does not use.
pub(crate) const SPARE: Vaddr = Vaddr(0xffff_a000_0000_0000);
