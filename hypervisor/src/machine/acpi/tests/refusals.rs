//! What is refused, in which words, and what stays usable.

use super::*;
use crate::machine::fixtures::{GRUB_UEFI, Q35, Q35_UEFI};
use crate::machine::multiboot::BootInfo;

#[test]
fn a_damaged_xsdt_leaves_the_rsdt() {
    let mut machine = Machine::of(Q35_UEFI);
    let xsdt = machine
        .0
        .iter_mut()
        .find(|(_, bytes)| bytes.starts_with(b"XSDT"))
        .unwrap();
    xsdt.1[36] ^= 0x10;
    let info = BootInfo::parse(GRUB_UEFI).unwrap();
    let mut acpi = Acpi::new();
    let copies = RsdpCopies {
        v2: info.rsdp_v2,
        v1: None,
    };
    assert_eq!(
        acpi.discover(&SparseMemory(&machine.bytes()), copies),
        Ok(())
    );
    assert_eq!(acpi.refusals[0].signature, Some(Signature::XSDT));
    assert_eq!(acpi.tables.len(), 6);
}

#[test]
fn a_bad_table_is_refused_by_name_and_the_others_stay() {
    let mut machine = Machine::of(Q35);
    let hpet = machine
        .0
        .iter_mut()
        .find(|(_, bytes)| bytes.starts_with(b"HPET"))
        .unwrap();
    hpet.1[44] = 7;
    let acpi = machine.acpi();
    let sentence =
        "ACPI table HPET at 0xffe234b refused: checksum: bytes add up to 0x07, must be 0";
    assert_eq!(sentences(&acpi), [sentence]);
    assert!(
        acpi.hpet.is_none() && acpi.madt.is_some() && acpi.fadt.is_some() && acpi.mcfg.is_some()
    );
    assert_eq!(signatures(&acpi), ["FACP", "APIC", "MCFG", "WAET"]);
}

#[test]
fn each_reason_has_its_sentence() {
    let hpet = |space: u8, address: u64| {
        let mut body = [0; 20];
        body[4] = space;
        body[8..16].copy_from_slice(&address.to_le_bytes());
        table(b"HPET", 1, &body)
    };
    let mcfg = |base: u64, first, last| {
        let entry = [
            &[0; 8],
            base.to_le_bytes().as_slice(),
            &[0, 0, first, last, 0, 0, 0, 0],
        ]
        .concat();
        table(b"MCFG", 1, &entry)
    };
    let mut long = table(b"SSDT", 1, &[]);
    long[4..8].copy_from_slice(&(MAX_TABLE_BYTES + 1).to_le_bytes());
    let mut short = table(b"SSDT", 1, &[]);
    short[4] = 35;
    let mut cut = table(b"SSDT", 1, &[0; 8]);
    cut.pop();
    let tail = "must be above 0, below 2^52 and a multiple of";
    let cases = [
        (
            long,
            "SSDT",
            format!(
                "length is {} bytes, can be at most {MAX_TABLE_BYTES}",
                MAX_TABLE_BYTES + 1
            ),
        ),
        (
            short,
            "SSDT",
            "length is 35 bytes, must be at least 36".into(),
        ),
        (cut, "SSDT", "memory at 0x100024 can't be read".into()),
        (
            table(b"FACP", 1, &[0; 79]),
            "FACP",
            "length is 115 bytes, must be at least 116".into(),
        ),
        (
            table(b"APIC", 1, &[0; 7]),
            "APIC",
            "length is 43 bytes, must be at least 44".into(),
        ),
        (
            table(b"APIC", 1, &[0; 8]),
            "APIC",
            format!("registers at 0x0, {tail} 0x1000"),
        ),
        (
            madt(&[&[0, 0]]),
            "APIC",
            "entry of type 0 at offset 44: length is 0 bytes, must be 8 to 2".into(),
        ),
        (
            madt(&[&[77, 1, 0]]),
            "APIC",
            "entry of type 77 at offset 44: length is 1 bytes, must be 2 to 3".into(),
        ),
        (
            madt(&[&[77, 2], &[9, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]]),
            "APIC",
            "entry of type 9 at offset 46: length is 17 bytes, must be 16 to 16".into(),
        ),
        (
            madt(&[&[8]]),
            "APIC",
            "entry of type 0 at offset 44: length is 1 bytes, must be 2 to 1".into(),
        ),
        (
            madt(&[&[2, 10, 0, 16, 0, 0, 0, 0, 0, 0]]),
            "APIC",
            "override of ISA interrupt 16, can be at most 15".into(),
        ),
        (
            madt(&[&[1, 12, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0]]),
            "APIC",
            format!("registers at 0x8, {tail} 0x10"),
        ),
        (
            table(b"HPET", 1, &[0; 19]),
            "HPET",
            "length is 55 bytes, must be at least 56".into(),
        ),
        (
            hpet(1, 0xfed0_0000),
            "HPET",
            "registers in address space 1, must be 0 (memory)".into(),
        ),
        (
            hpet(0, 0xfed0_0004),
            "HPET",
            format!("registers at 0xfed00004, {tail} 0x8"),
        ),
        (
            hpet(0, 1 << 52),
            "HPET",
            format!("registers at 0x10000000000000, {tail} 0x8"),
        ),
        (
            table(b"MCFG", 1, &[0; 4]),
            "MCFG",
            "length is 40 bytes, must be at least 44".into(),
        ),
        (
            mcfg(0xb000_0000, 5, 4),
            "MCFG",
            "PCI buses 5 to 4: the last is below the first".into(),
        ),
        (
            mcfg(0xb000_1000, 0, 255),
            "MCFG",
            format!("registers at 0xb0001000, {tail} 0x100000"),
        ),
        (
            mcfg(0, 0, 255),
            "MCFG",
            format!("registers at 0x0, {tail} 0x100000"),
        ),
        (
            mcfg(u64::MAX << 20, 0, 255),
            "MCFG",
            format!("registers at 0xfffffffffff00000, {tail} 0x100000"),
        ),
    ];
    for (table, name, reason) in cases {
        let acpi = Machine::with_tables(vec![table]).acpi();
        assert_eq!(
            sentences(&acpi),
            [format!("ACPI table {name} at 0x100000 refused: {reason}")]
        );
        assert!(
            acpi.tables.is_empty()
                && acpi.madt.is_none()
                && acpi.hpet.is_none()
                && acpi.mcfg.is_none()
        );
    }
}

#[test]
fn the_second_of_a_kind_is_refused_but_timers_and_code_may_come_often() {
    let mut timer = [0; 20];
    timer[9] = 0x10;
    let hpet = table(b"HPET", 1, &timer);
    let (apic, code) = (madt(&[]), table(b"SSDT", 1, &[]));
    let acpi = Machine::with_tables(vec![
        apic.clone(),
        hpet.clone(),
        hpet,
        apic,
        code.clone(),
        code,
    ])
    .acpi();
    let sentence = "ACPI table APIC at 0x130000 refused: there is one of this kind already";
    assert_eq!(sentences(&acpi), [sentence]);
    assert_eq!((acpi.tables.len(), acpi.hpet.unwrap().address), (5, 0x1000));
}

#[test]
fn null_entries_and_entries_beyond_memory_are_refused() {
    let mut machine = Machine::with_tables(vec![madt(&[])]);
    let rsdt = machine
        .0
        .iter_mut()
        .find(|(_, bytes)| bytes.starts_with(b"RSDT"))
        .unwrap();
    rsdt.1 = table(
        b"RSDT",
        1,
        &[0, 0, 0, 0, 0, 0, 0x50, 0, 0, 0, 0x10, 0, 99, 99],
    );
    let acpi = machine.acpi();
    let expected = [
        "ACPI table at 0x0 refused: address is 0",
        "ACPI table at 0x500000 refused: memory at 0x500000 can't be read",
    ];
    assert_eq!(sentences(&acpi), expected);
    assert!(acpi.madt.is_some());
}

#[test]
fn processors_in_x2apic_entries_and_each_only_once() {
    let x2apic = |id: u32, flags: u8, uid: u32| {
        [
            &[9, 16, 0, 0],
            id.to_le_bytes().as_slice(),
            &[flags, 0, 0, 0],
            &uid.to_le_bytes(),
        ]
        .concat()
    };
    let entries = [
        vec![0, 8, 7, 1, 1, 0, 0, 0],
        vec![0, 8, 8, 2, 0, 0, 0, 0],
        vec![0, 8, 9, 3, 2, 0, 0, 0],
        vec![0, 8, 10, 0xff, 1, 0, 0, 0],
        x2apic(1, 1, 7),
        x2apic(0x1_0000, 1, 500),
        x2apic(u32::MAX, 1, 501),
        vec![5, 12, 0, 0, 0, 0x10, 0, 0, 1, 0, 0, 0],
        vec![3, 8, 0x0f, 0, 23, 0, 0, 0],
        vec![10, 12, 5, 0, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0],
        vec![4, 6, 7, 0x0d, 0, 0],
    ];
    let entries: Vec<_> = entries.iter().map(Vec::as_slice).collect();
    let acpi = Machine::with_tables(vec![madt(&entries)]).acpi();
    let madt = acpi.madt.unwrap();
    let expected = [
        Processor {
            apic_id: 1,
            acpi_id: 7,
            is_enabled: true,
        },
        Processor {
            apic_id: 3,
            acpi_id: 9,
            is_enabled: false,
        },
        Processor {
            apic_id: 0x1_0000,
            acpi_id: 500,
            is_enabled: true,
        },
    ];
    assert_eq!(&madt.processors[..], expected);
    assert_eq!(
        (madt.enabled_processors(), madt.unusable_processors),
        (2, 4)
    );
    assert_eq!(madt.local_apic_address, 0x1_0000_1000);
    let low_level = InterruptLine {
        polarity: Polarity::Low,
        trigger: TriggerMode::Level,
    };
    assert_eq!(
        &madt.nmi_sources[..],
        [NmiSource {
            gsi: 23,
            line: low_level
        }]
    );
    let high_edge = InterruptLine {
        polarity: Polarity::High,
        trigger: TriggerMode::Edge,
    };
    let high_level = InterruptLine {
        polarity: Polarity::High,
        trigger: TriggerMode::Level,
    };
    let expected = [
        LocalNmi {
            target: LocalNmiTarget::All,
            lint: 1,
            line: high_edge,
        },
        LocalNmi {
            target: LocalNmiTarget::One(7),
            lint: 0,
            line: high_level,
        },
    ];
    assert_eq!(&madt.local_nmis[..], expected);
}

#[test]
fn lists_that_overflow_count_what_they_ignore() {
    let processor = |id: u32| {
        [
            &[9, 16, 0, 0],
            id.to_le_bytes().as_slice(),
            &[1, 0, 0, 0, 0, 0, 0, 0],
        ]
        .concat()
    };
    let processors: Vec<_> = (0..MAX_CPUS as u32 + 9).map(processor).collect();
    let processors: Vec<_> = processors.iter().map(Vec::as_slice).collect();
    let acpi = Machine::with_tables(vec![madt(&processors)]).acpi();
    let madt = acpi.madt.unwrap();
    assert_eq!(
        (madt.processors.len(), madt.processors.ignored()),
        (MAX_CPUS, 9)
    );

    let many = vec![table(b"SSDT", 1, &[]); MAX_TABLES + 7];
    let acpi = Machine::with_tables(many).acpi();
    assert_eq!((acpi.tables.len(), acpi.tables.ignored()), (MAX_TABLES, 7));

    let bad = vec![table(b"APIC", 1, &[]); MAX_REFUSALS + 5];
    let acpi = Machine::with_tables(bad).acpi();
    assert_eq!(
        (acpi.refusals.len(), acpi.refusals.ignored()),
        (MAX_REFUSALS, 5)
    );
}
