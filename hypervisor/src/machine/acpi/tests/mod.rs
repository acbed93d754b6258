//! Tests of the ACPI tables, and the machines that they build.

mod damage;
mod real;
mod refusals;

use super::*;
use crate::machine::fixtures::SparseMemory;

/// Physical memory that a test builds piece by piece.
#[derive(Clone, Default)]
struct Machine(Vec<(u64, Vec<u8>)>);

impl Machine {
    fn of(fixture: &[u8]) -> Self {
        Self(
            SparseMemory(fixture)
                .pieces()
                .map(|(address, bytes)| (address, bytes.to_vec()))
                .collect(),
        )
    }

    /// As [`Machine::of`], with the root pointer where the search for it starts.
    fn with_near_root(fixture: &[u8]) -> Self {
        let mut machine = Self::of(fixture);
        let rsdp = machine
            .0
            .iter_mut()
            .find(|(_, bytes)| bytes.starts_with(b"RSD PTR "))
            .unwrap();
        rsdp.0 = 0xe_0000;
        machine
    }

    /// A root pointer of revision 0 and an RSDT that lists `tables`, which lie from 1 MiB up.
    fn with_tables(tables: Vec<Vec<u8>>) -> Self {
        let mut machine = Self::default();
        let mut entries = Vec::new();
        for (index, table) in tables.into_iter().enumerate() {
            let address = 0x10_0000 + 0x1_0000 * index as u32;
            entries.extend(address.to_le_bytes());
            machine.0.push((address.into(), table));
        }
        machine.0.push((0x8_0000, table(b"RSDT", 1, &entries)));
        let mut rsdp = [b"RSD PTR ".as_slice(), &[0; 8], &0x8_0000u32.to_le_bytes()].concat();
        rsdp[8] = negated_sum(&rsdp);
        machine.0.push((0xe_0000, rsdp));
        machine
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (address, piece) in &self.0 {
            bytes.extend(address.to_le_bytes());
            bytes.extend((piece.len() as u32).to_le_bytes());
            bytes.extend(piece);
        }
        bytes
    }

    fn discover(&self) -> (Acpi, Result<(), AcpiError>) {
        discover(&self.bytes())
    }

    fn acpi(&self) -> Acpi {
        let (acpi, result) = self.discover();
        assert_eq!(result, Ok(()));
        acpi
    }
}

fn discover(memory: &[u8]) -> (Acpi, Result<(), AcpiError>) {
    let mut acpi = Acpi::new();
    let result = acpi.discover(&SparseMemory(memory), RsdpCopies::default());
    (acpi, result)
}

fn negated_sum(bytes: &[u8]) -> u8 {
    bytes
        .iter()
        .fold(0, |sum: u8, byte| sum.wrapping_sub(*byte))
}

/// A table whose length and checksum are right.
fn table(signature: &[u8; 4], revision: u8, body: &[u8]) -> Vec<u8> {
    let length = 36 + body.len() as u32;
    let mut table = [
        signature.as_slice(),
        &length.to_le_bytes(),
        &[revision, 0],
        &[b' '; 26],
        body,
    ]
    .concat();
    repair(&mut table);
    table
}

/// Makes the bytes of a table add up to 0 again.
fn repair(table: &mut [u8]) {
    table[9] = 0;
    table[9] = negated_sum(table);
}

/// A MADT with these entries.
fn madt(entries: &[&[u8]]) -> Vec<u8> {
    let fixed = [0, 0, 0xe0, 0xfe, 1, 0, 0, 0];
    table(b"APIC", 4, &[&fixed, entries.concat().as_slice()].concat())
}

/// What is said about the tables that were refused.
fn sentences(acpi: &Acpi) -> Vec<String> {
    acpi.refusals.iter().map(ToString::to_string).collect()
}

fn signatures(acpi: &Acpi) -> Vec<String> {
    acpi.tables
        .iter()
        .map(|table| table.signature.to_string())
        .collect()
}

/// What the tables say, of which none must be refused.
fn soft_off(machine: &Machine) -> Option<SleepTypes> {
    let (acpi, bytes) = (machine.acpi(), machine.bytes());
    let memory = SparseMemory(&bytes);
    let dsdt = acpi.dsdt(&memory).unwrap();
    acpi.soft_off(&memory, dsdt.as_ref())
}

/// A machine with these definitions of its hardware.
fn with_dsdt(definitions: Vec<u8>) -> Machine {
    const AT: u32 = 0x20_0000;
    let mut fixed = [0; 80];
    fixed[4..8].copy_from_slice(&AT.to_le_bytes());
    let mut machine = Machine::with_tables(vec![table(b"FACP", 1, &fixed)]);
    machine.0.push((AT.into(), definitions));
    machine
}

#[test]
fn definitions_that_are_damaged_are_refused_by_name() {
    let whole = table(b"DSDT", 2, b"\x08_S5_\x12\x07\x04\x0A\x05\x0A\x03");
    assert_eq!(
        soft_off(&with_dsdt(whole.clone())),
        Some(SleepTypes { a: 5, b: 3 })
    );
    let mut damaged = vec![whole[..whole.len() - 1].to_vec(), table(b"SSDT", 2, b"")];
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        damaged.push(changed);
    }
    for definitions in damaged {
        let machine = with_dsdt(definitions);
        let bytes = machine.bytes();
        let refusal = machine.acpi().dsdt(&SparseMemory(&bytes)).unwrap_err();
        let said = refusal.to_string();
        assert!(said.starts_with("ACPI table DSDT "), "{said}");
    }
}

#[test]
fn the_way_to_turn_the_machine_off_is_found_anywhere_in_any_definition_table() {
    let object = b"\x08_S5_\x12\x07\x04\x0A\x05\x0A\x03";
    let definitions = |padding: usize, object: &[u8]| {
        let body = [vec![0xA3; padding].as_slice(), object].concat();
        table(b"SSDT", 2, &body)
    };
    // Windows overlap: the object is found on every border.
    for padding in (0..1200).step_by(7).chain(460..560) {
        let machine = Machine::with_tables(vec![definitions(0, b""), definitions(padding, object)]);
        let found = soft_off(&machine);
        assert_eq!(found, Some(SleepTypes { a: 5, b: 3 }), "padding {padding}");
    }
    let machine = Machine::with_tables(vec![definitions(100, b"\x08_S4_\x12\x02\x01\0")]);
    assert_eq!(soft_off(&machine), None);
    assert_eq!(Acpi::new().soft_off(&SparseMemory(&[]), None), None);
}
