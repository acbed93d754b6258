//! ACPI tables in a physical memory of any content: each table is read, or refused by name.
//!
//! The input is memory in pieces (the format of `SparseMemory`); a piece at address 0 is the boot loader's
//! copy of the root pointer. Each input is tried as it is, and again with its checksums made right, since
//! no mutation gets past them otherwise.

use crate::sparse_memory::SparseMemory;
use hypervisor::machine::PhysRead;
use hypervisor::machine::acpi::{Acpi, RsdpCopies};

pub fn run(memory: &[u8]) {
    discover(memory);
    discover(&with_right_checksums(memory));
}

fn discover(memory: &[u8]) {
    let memory = SparseMemory(memory);
    let v2 = memory
        .pieces()
        .find(|(address, _)| *address == 0)
        .map(|(_, bytes)| bytes);
    let mut acpi = Acpi::new();
    let result = acpi.discover(&memory, RsdpCopies { v2, v1: None });
    for refusal in &acpi.refusals {
        assert!(refusal.to_string().starts_with("ACPI table "));
    }
    if result.is_err() {
        assert!(acpi.tables.is_empty() && acpi.madt.is_none() && acpi.fadt.is_none());
        return;
    }
    match acpi.dsdt(&memory) {
        Ok(dsdt) => drop(acpi.soft_off(&memory, dsdt.as_ref())),
        Err(refusal) => assert!(refusal.to_string().starts_with("ACPI table DSDT ")),
    }
    for table in &acpi.tables {
        let mut last = [0];
        let end = table.address + u64::from(table.length);
        memory
            .read(end - 1, &mut last)
            .expect("a verified table was read to its end");
    }
    if let Some(madt) = &acpi.madt {
        let mut ids: Vec<_> = madt
            .processors
            .iter()
            .map(|processor| processor.apic_id)
            .collect();
        ids.sort_unstable();
        assert!(ids.windows(2).all(|pair| pair[0] != pair[1]));
    }
    for region in acpi.mcfg.iter().flatten() {
        assert!(!region.range().is_empty());
    }
    let _ = format!(
        "{:?} {:?} {:?}",
        acpi.fadt,
        acpi.hpet,
        acpi.fadt.and_then(|fadt| fadt.reset?.0.port())
    );
}

/// The same memory, in which every table and every root pointer adds up to 0.
fn with_right_checksums(memory: &[u8]) -> Vec<u8> {
    let mut repaired = Vec::with_capacity(memory.len());
    for (address, bytes) in SparseMemory(memory).pieces() {
        let mut bytes = bytes.to_vec();
        if bytes.starts_with(b"RSD PTR ") {
            repair(&mut bytes, 20, 8);
            repair(&mut bytes, 36, 32);
        } else if let Some(&length) = bytes.get(4..).and_then(<[u8]>::first_chunk) {
            repair(&mut bytes, u32::from_le_bytes(length) as usize, 9);
        }
        repaired.extend(address.to_le_bytes());
        repaired.extend((bytes.len() as u32).to_le_bytes());
        repaired.extend(bytes);
    }
    repaired
}

/// Makes the first `length` bytes add up to 0 by the byte at `at`, if they are there.
fn repair(bytes: &mut [u8], length: usize, at: usize) {
    if let Some(bytes) = bytes.get_mut(..length).filter(|_| at < length) {
        bytes[at] = 0;
        let sum = bytes
            .iter()
            .fold(0, |sum: u8, byte| sum.wrapping_add(*byte));
        bytes[at] = sum.wrapping_neg();
    }
}
