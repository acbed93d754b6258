//! UEFI's system table in a physical memory of any content: it leads to ACPI's root pointer, or to none.
//!
//! The input is where the table is, then memory in pieces (the format of `SparseMemory`).

use crate::sparse_memory::SparseMemory;
use hypervisor::machine::efi::rsdp_address;

pub fn run(input: &[u8]) {
    let Some((table, memory)) = input.split_first_chunk() else {
        return;
    };
    let memory = SparseMemory(memory);
    if let Some(address) = rsdp_address(&memory, u64::from_le_bytes(*table)) {
        assert_ne!(address, 0);
        let is_there = |bytes: &[u8]| {
            bytes
                .windows(8)
                .any(|window| window == address.to_le_bytes())
        };
        assert!(
            memory.pieces().any(|(_, bytes)| is_there(bytes)),
            "the pointer was read from memory"
        );
    }
}
