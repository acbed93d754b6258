//! What UEFI leaves behind: from its system table to the root pointer of ACPI (UEFI specification 2.10, 4.3 and
//! 4.6). The loader passes a copy of that pointer; the first domain's kernel wants to know where it is.

#![forbid(unsafe_code)]

use super::PhysRead;

/// `IBI SYST`, little-endian.
const SIGNATURE: [u8; 8] = *b"IBI SYST";
/// Offset of the number of configuration tables, 8 bytes; their address follows.
const TABLES_AT: u64 = 104;
/// Bytes of an entry: a GUID and an address.
const ENTRY_BYTES: u64 = 24;
/// The most entries that are looked at; there are some ten.
const MAX_ENTRIES: u64 = 256;
/// ACPI 2.0 and later: 8868e871-e4f1-11d3-bc22-0080c73c8881.
const ACPI_2: [u8; 16] = [
    0x71, 0xe8, 0x68, 0x88, 0xf1, 0xe4, 0xd3, 0x11, 0xbc, 0x22, 0x00, 0x80, 0xc7, 0x3c, 0x88, 0x81,
];
/// ACPI 1.0: eb9d2d30-2d88-11d3-9a16-0090273fc14d.
const ACPI_1: [u8; 16] = [
    0x30, 0x2d, 0x9d, 0xeb, 0x88, 0x2d, 0xd3, 0x11, 0x9a, 0x16, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d,
];

/// Where ACPI's root pointer is, by the 64-bit system table at `system_table`. The newer of two counts.
pub fn rsdp_address(memory: &impl PhysRead, system_table: u64) -> Option<u64> {
    let mut signature = [0; 8];
    memory.read(system_table, &mut signature).ok()?;
    if signature != SIGNATURE {
        return None;
    }
    let count = read_u64(memory, system_table.checked_add(TABLES_AT)?)?;
    let tables = read_u64(memory, system_table.checked_add(TABLES_AT + 8)?)?;
    let find = |wanted: [u8; 16]| {
        (0..count.min(MAX_ENTRIES)).find_map(|index| {
            let at = tables.checked_add(index * ENTRY_BYTES)?;
            let mut guid = [0; 16];
            memory.read(at, &mut guid).ok()?;
            let address = read_u64(memory, at.checked_add(16)?)?;
            (guid == wanted && address != 0).then_some(address)
        })
    };
    find(ACPI_2).or_else(|| find(ACPI_1))
}

fn read_u64(memory: &impl PhysRead, at: u64) -> Option<u64> {
    let mut bytes = [0; 8];
    memory.read(at, &mut bytes).ok()?;
    Some(u64::from_le_bytes(bytes))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::machine::fixtures::SparseMemory;

    fn memory(pieces: &[(u64, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (address, piece) in pieces {
            bytes.extend(address.to_le_bytes());
            bytes.extend((piece.len() as u32).to_le_bytes());
            bytes.extend(piece);
        }
        bytes
    }

    fn system_table(count: u64, tables: u64) -> Vec<u8> {
        let mut table = vec![0; 120];
        table[..8].copy_from_slice(&SIGNATURE);
        table[104..112].copy_from_slice(&count.to_le_bytes());
        table[112..].copy_from_slice(&tables.to_le_bytes());
        table
    }

    fn entries(list: &[([u8; 16], u64)]) -> Vec<u8> {
        list.iter()
            .flat_map(|(guid, address)| guid.iter().copied().chain(address.to_le_bytes()))
            .collect()
    }

    #[test]
    fn the_newer_root_pointer_counts() {
        let list = entries(&[([7; 16], 1), (ACPI_1, 0x1000), (ACPI_2, 0x2000)]);
        let bytes = memory(&[(0x9000, system_table(3, 0x8000)), (0x8000, list)]);
        assert_eq!(rsdp_address(&SparseMemory(&bytes), 0x9000), Some(0x2000));
        let list = entries(&[(ACPI_1, 0x1000), (ACPI_2, 0)]);
        let bytes = memory(&[(0x9000, system_table(2, 0x8000)), (0x8000, list)]);
        assert_eq!(rsdp_address(&SparseMemory(&bytes), 0x9000), Some(0x1000));
    }

    #[test]
    fn what_is_damaged_has_none() {
        let list = entries(&[([7; 16], 1)]);
        let good = system_table(1, 0x8000);
        let mut unsigned = good.clone();
        unsigned[0] = 0;
        for (table, count) in [
            (good, 1),
            (unsigned, 1),
            (system_table(u64::MAX, 0x8000), 1),
            (system_table(1, u64::MAX), 1),
        ] {
            let bytes = memory(&[(0x9000, table), (0x8000, list.clone())]);
            assert_eq!(rsdp_address(&SparseMemory(&bytes), 0x9000), None, "{count}");
        }
        assert_eq!(rsdp_address(&SparseMemory(&[]), u64::MAX - 3), None);
    }
}
