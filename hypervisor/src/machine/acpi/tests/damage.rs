//! Real tables with one thing or many things wrong.

use super::*;
use crate::machine::fixtures::{self, PC, Q35};
use proptest::prelude::*;

/// Every way in which one byte of a fixture can be off, and what must come of it.
#[test]
fn a_changed_byte_anywhere_is_refused_by_name() {
    for fixture in [Q35, PC] {
        let whole = Machine::with_near_root(fixture);
        let nr_tables = whole.acpi().tables.len();
        for piece in 0..whole.0.len() {
            for offset in 0..whole.0[piece].1.len() {
                for change in [0x01, 0x20, 0x80, 0xff] {
                    let mut machine = whole.clone();
                    machine.0[piece].1[offset] ^= change;
                    let (acpi, result) = machine.discover();
                    let signature = Signature(*whole.0[piece].1.first_chunk().unwrap_or(b"EBDA"));
                    match &signature.0 {
                        b"EBDA" => assert_eq!((result, acpi.refusals.len()), (Ok(()), 0)),
                        b"RSD " => assert_eq!(result, Err(AcpiError::NoRootPointer)),
                        b"RSDT" => assert_eq!(result, Err(AcpiError::NoRootTable)),
                        _ => {
                            assert_eq!((result, acpi.tables.len()), (Ok(()), nr_tables - 1));
                            assert_eq!(acpi.refusals.len(), 1);
                            assert_eq!(acpi.refusals[0].address, Some(whole.0[piece].0));
                            let is_named = acpi.refusals[0].signature == Some(signature);
                            assert!(is_named || offset < 4);
                        }
                    }
                    let is_used = |found: bool, name: &[u8; 4]| !found || signature.0 != *name;
                    assert!(
                        is_used(acpi.madt.is_some(), b"APIC")
                            && is_used(acpi.fadt.is_some(), b"FACP")
                    );
                    assert!(
                        is_used(acpi.hpet.is_some(), b"HPET")
                            && is_used(acpi.mcfg.is_some(), b"MCFG")
                    );
                }
            }
        }
    }
}

#[test]
fn every_truncation_is_refused_by_name() {
    for fixture in [Q35, PC] {
        let whole = Machine::with_near_root(fixture);
        for piece in 0..whole.0.len() {
            for length in 0..whole.0[piece].1.len() {
                let mut machine = whole.clone();
                machine.0[piece].1.truncate(length);
                let (acpi, result) = machine.discover();
                let is_ebda = whole.0[piece].1.len() == 2;
                assert!(is_ebda || result.is_err() || acpi.refusals.len() == 1);
            }
        }
    }
}

proptest! {
    #![proptest_config(fixtures::cases(2000))]

    /// Bytes changed behind a checksum that is right again: sense or a refusal with a name, for each table.
    #[test]
    fn a_table_with_a_right_checksum_and_wrong_content_is_read_or_refused(
        is_pc in any::<bool>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut machine = Machine::with_near_root(if is_pc { PC } else { Q35 });
        for (piece, offset, value) in changes {
            // Behind the EBDA's pointer and the root pointer.
            let piece = &mut piece.get_mut(&mut machine.0[2..]).1;
            let offset = offset.index(piece.len());
            piece[offset] = value;
            if piece.len() >= 36 {
                repair(piece);
            }
        }
        let (acpi, result) = machine.discover();
        if result.is_ok() {
            let (_, root) = machine.0.last().unwrap();
            let nr_entries = (u32::from_le_bytes(*root[4..].first_chunk().unwrap()) - 36) / 4;
            let nr_listed = acpi.tables.len() as u32 + acpi.tables.ignored();
            let nr_refused = acpi.refusals.len() as u32 + acpi.refusals.ignored();
            prop_assert_eq!(nr_listed + nr_refused, nr_entries);
        }
        let _ = sentences(&acpi);
    }

    /// MADT entries of any type, length and content.
    #[test]
    fn any_madt_is_read_or_refused(
        entries in prop::collection::vec((0u8..20, 0u8..20, prop::collection::vec(any::<u8>(), 0..20)), 0..20),
    ) {
        let entries: Vec<_> = entries
            .into_iter()
            .map(|(kind, length, body)| {
                // Mostly as long as it says.
                let length = if length == 0 { body.len() as u8 + 2 } else { length };
                [&[kind, length], body.as_slice()].concat()
            })
            .collect();
        let entries: Vec<_> = entries.iter().map(Vec::as_slice).collect();
        let acpi = Machine::with_tables(vec![madt(&entries)]).acpi();
        prop_assert_eq!(acpi.madt.is_some(), acpi.refusals.is_empty());
        prop_assert!(acpi.refusals.iter().all(|refusal| refusal.signature == Some(Signature::MADT)));
    }
}
