//! The hypervisor's virtual address space: L4 slots 256 to 271 of every root.
//!
//! | slot | from | what |
//! |---|---|---|
//! | 256 | `0xffff800000000000` | machine-to-physical table, read-only to guests |
//! | 257 | `0xffff808000000000` | per-vCPU area: descriptor tables |
//! | 261 | `0xffff828000000000` | stacks, device registers, frame table, image |
//! | 262–271 | `0xffff830000000000` | direct map of all RAM |
//!
//! The numbers of slot 256 are a promise to guests (they index the table there); the others are ours.

/// First byte of the hypervisor's part of every address space.
pub const HYPERVISOR_START: u64 = 0xffff_8000_0000_0000;
/// First byte behind it.
pub const HYPERVISOR_END: u64 = 0xffff_8800_0000_0000;

/// Machine-to-physical table: one `u64` for each machine frame.
pub const M2P_START: u64 = 0xffff_8000_0000_0000;
/// End of the window that the machine-to-physical table may grow into.
pub const M2P_END: u64 = 0xffff_8040_0000_0000;

/// Stack blocks, one for each processor.
pub const STACKS_START: u64 = 0xffff_8280_0000_0000;
/// Bytes of address space for one processor's stacks; a power of two.
pub const STACK_BLOCK: u64 = 256 * 1024;

/// The machine-to-physical table once more, writable, for the hypervisor itself.
pub const M2P_OWN_START: u64 = 0xffff_8281_0000_0000;
/// End of that window: 14 TiB of RAM.
pub const M2P_OWN_END: u64 = 0xffff_8288_0000_0000;

/// Entry areas, two pages for each processor.
pub const ENTRY_AREA_START: u64 = 0xffff_8288_0000_0000;

/// Per-vCPU area: descriptor tables, different in each domain.
pub const PER_DOMAIN_START: u64 = 0xffff_8080_0000_0000;
/// Bytes of it for one vCPU: 16 pages of GDT, 16 pages of LDT.
pub const PER_VCPU_BYTES: u64 = 32 * 4096;

/// Device registers, mapped uncached on demand.
pub const DEVICES_START: u64 = 0xffff_8290_0000_0000;
/// End of the device window.
pub const DEVICES_END: u64 = 0xffff_82a0_0000_0000;

/// Frame table.
pub const FRAME_TABLE_START: u64 = 0xffff_82a0_0000_0000;
/// End of the frame table's window: 32 bytes a frame for 16 TiB.
pub const FRAME_TABLE_END: u64 = 0xffff_82c0_0000_0000;

/// What the linker script adds to an unmoved physical address to get the image's virtual address.
pub const IMAGE_OFFSET: u64 = 0xffff_82d0_4000_0000;
/// Unmoved physical address of the image's first byte.
pub const IMAGE_UNMOVED: u64 = 0x20_0000;
/// How many 2 MiB pages the early page tables map for the image.
pub const IMAGE_MAX_PAGES: u64 = 16;

/// Direct map: machine address `a` is at `DIRECT_START + a`.
pub const DIRECT_START: u64 = 0xffff_8300_0000_0000;
/// End of the direct map: 5 TiB.
pub const DIRECT_END: u64 = HYPERVISOR_END;
/// Machine addresses that the direct map can show.
pub const DIRECT_LIMIT: u64 = DIRECT_END - DIRECT_START;
/// Machine addresses that the early page tables show.
pub const EARLY_DIRECT_LIMIT: u64 = 1 << 32;

/// Index of `address` in the page table of `level` (1 to 4).
#[must_use]
pub const fn table_index(address: u64, level: u32) -> usize {
    ((address >> (12 + 9 * (level - 1))) & 511) as usize
}

const _: () = {
    assert!(table_index(M2P_START, 4) == 256);
    assert!(table_index(HYPERVISOR_END - 1, 4) == 271);
    assert!(table_index(STACKS_START, 4) == 261);
    assert!(table_index(FRAME_TABLE_END, 4) == 261);
    assert!(table_index(IMAGE_OFFSET, 4) == 261);
    assert!(table_index(DIRECT_START, 4) == 262);
    assert!(STACK_BLOCK.is_power_of_two());
};
