//! Real machines: every value exactly.

use super::*;
use crate::machine::fixtures::{GRUB_UEFI, PC, Q35, Q35_UEFI};
use crate::machine::multiboot::BootInfo;

fn io_port(address: u64, bit_width: u8) -> Register {
    Register {
        space: AddressSpace::Io,
        bit_width,
        bit_offset: 0,
        access_size: 0,
        address,
    }
}

fn check_madt_of_qemu(madt: &Madt) {
    assert_eq!(
        (madt.local_apic_address, madt.has_8259),
        (0xfee0_0000, true)
    );
    let processors: Vec<_> = (0..4)
        .map(|id| Processor {
            apic_id: id,
            acpi_id: id,
            is_enabled: true,
        })
        .collect();
    assert_eq!(&madt.processors[..], processors);
    assert_eq!(
        (madt.enabled_processors(), madt.unusable_processors),
        (4, 0)
    );
    assert_eq!(
        &madt.io_apics[..],
        [IoApic {
            id: 0,
            address: 0xfec0_0000,
            gsi_base: 0
        }]
    );
    let level_high = InterruptLine {
        polarity: Polarity::High,
        trigger: TriggerMode::Level,
    };
    let wired: Vec<_> = madt
        .isa_overrides
        .iter()
        .map(|wired| (wired.irq, wired.gsi, wired.line))
        .collect();
    let expected = [
        (0, 2, InterruptLine::OF_BUS),
        (5, 5, level_high),
        (9, 9, level_high),
        (10, 10, level_high),
        (11, 11, level_high),
    ];
    assert_eq!(wired, expected);
    assert_eq!(madt.isa_interrupt(0), (2, InterruptLine::OF_BUS));
    assert_eq!(madt.isa_interrupt(4), (4, InterruptLine::OF_BUS));
    assert_eq!(madt.isa_interrupt(9), (9, level_high));
    let nmi = LocalNmi {
        target: LocalNmiTarget::All,
        lint: 1,
        line: InterruptLine::OF_BUS,
    };
    assert_eq!(&madt.local_nmis[..], [nmi]);
    assert!(madt.nmi_sources.is_empty());
}

#[test]
fn tables_of_q35_with_seabios() {
    let (acpi, result) = discover(Q35);
    assert_eq!((result, sentences(&acpi)), (Ok(()), vec![]));
    let rsdp = Rsdp {
        source: RsdpSource::Memory(0xf_59e0),
        revision: 0,
        rsdt: 0xffe_23e7,
        xsdt: 0,
    };
    assert_eq!(acpi.rsdp, Some(rsdp));
    assert_eq!(signatures(&acpi), ["FACP", "APIC", "HPET", "MCFG", "WAET"]);
    check_madt_of_qemu(acpi.madt.as_ref().unwrap());
    let fadt = acpi.fadt.unwrap();
    assert_eq!((fadt.revision, fadt.sci), (3, 9));
    let pm_timer = PmTimer {
        register: io_port(0x608, 32),
        bits: 24,
    };
    assert_eq!(fadt.pm_timer, Some(pm_timer));
    assert_eq!(
        (fadt.pm1a_event, fadt.pm1b_event),
        (Some(io_port(0x600, 32)), None)
    );
    assert_eq!(
        (fadt.pm1a_control, fadt.pm1b_control),
        (Some(io_port(0x604, 16)), None)
    );
    assert_eq!(fadt.reset, Some((io_port(0xcf9, 8), 0x0f)));
    assert_eq!(
        fadt.reset.and_then(|(register, _)| register.port()),
        Some(0xcf9)
    );
    assert_eq!(fadt.boot_architecture.bits(), 0x0002);
    assert!(!fadt.features.contains(FixedFeatures::HW_REDUCED));
    assert_eq!(
        (fadt.smi_command_port, fadt.acpi_enable, fadt.acpi_disable),
        (0xb2, 2, 3)
    );
    assert_eq!((fadt.facs, fadt.dsdt), (Some(0xffe_0000), Some(0xffe_0040)));
    assert_eq!(
        acpi.hpet,
        Some(Hpet {
            address: 0xfed0_0000,
            number: 0,
            min_ticks: 0
        })
    );
    let region = McfgRegion {
        base: 0xb000_0000,
        segment: 0,
        first_bus: 0,
        last_bus: 255,
    };
    assert_eq!(acpi.mcfg.as_deref(), Some([region].as_slice()));
    assert_eq!(
        (region.range().start, region.range().end),
        (0xb000_0000, 0xc000_0000)
    );
}

#[test]
fn tables_of_pc_with_seabios() {
    let (acpi, result) = discover(PC);
    assert_eq!((result, sentences(&acpi)), (Ok(()), vec![]));
    assert_eq!(signatures(&acpi), ["FACP", "APIC", "HPET", "WAET"]);
    check_madt_of_qemu(acpi.madt.as_ref().unwrap());
    let fadt = acpi.fadt.unwrap();
    // A table of ACPI 1.0: 32-bit addresses only, and nothing about legacy hardware.
    assert_eq!(
        (fadt.revision, fadt.pm_timer),
        (
            1,
            Some(PmTimer {
                register: io_port(0x608, 32),
                bits: 24
            })
        )
    );
    assert_eq!(fadt.pm1a_control, Some(io_port(0x604, 16)));
    assert!(
        fadt.boot_architecture
            .contains(BootArchitecture::KEYBOARD_CONTROLLER)
    );
    assert_eq!((fadt.reset, fadt.sleep_control), (None, None));
    assert!(acpi.mcfg.is_none());
}

#[test]
fn tables_of_q35_with_uefi() {
    // Nothing lies in the BIOS areas; the boot loader's copy shows the way.
    assert_eq!(discover(Q35_UEFI).1, Err(AcpiError::NoRootPointer));
    let info = BootInfo::parse(GRUB_UEFI).unwrap();
    let mut acpi = Acpi::new();
    let copies = RsdpCopies {
        v2: info.rsdp_v2,
        v1: info.rsdp_v1,
    };
    assert_eq!(acpi.discover(&SparseMemory(Q35_UEFI), copies), Ok(()));
    assert_eq!(sentences(&acpi), [""; 0]);
    let rsdp = Rsdp {
        source: RsdpSource::Loader,
        revision: 2,
        rsdt: 0xf77_d074,
        xsdt: 0xf77_d0e8,
    };
    assert_eq!(acpi.rsdp, Some(rsdp));
    assert_eq!(
        signatures(&acpi),
        ["FACP", "APIC", "HPET", "MCFG", "WAET", "BGRT"]
    );
    check_madt_of_qemu(acpi.madt.as_ref().unwrap());
    let by_address = Rsdp::read(&SparseMemory(Q35_UEFI), 0xf77_e014);
    assert_eq!(
        by_address,
        Ok(Rsdp {
            source: RsdpSource::Memory(0xf77_e014),
            ..rsdp
        })
    );
}

#[test]
fn a_damaged_copy_of_the_root_pointer_is_refused_and_the_next_one_tried() {
    let info = BootInfo::parse(GRUB_UEFI).unwrap();
    let mut v2 = info.rsdp_v2.unwrap().to_vec();
    v2[33] ^= 1;
    let mut acpi = Acpi::new();
    let copies = RsdpCopies {
        v2: Some(&v2),
        v1: info.rsdp_v1,
    };
    assert_eq!(acpi.discover(&SparseMemory(Q35_UEFI), copies), Ok(()));
    let sentence =
        "ACPI table RSDP from the boot loader refused: checksum: bytes add up to 0x01, must be 0";
    assert_eq!(sentences(&acpi), [sentence]);
    assert_eq!(acpi.rsdp.unwrap().revision, 0);
}

#[test]
fn the_root_pointer_is_found_in_the_ebda_too() {
    let mut machine = Machine::of(Q35);
    let rsdp = machine
        .0
        .iter_mut()
        .find(|(_, bytes)| bytes.starts_with(b"RSD PTR "))
        .unwrap();
    rsdp.0 = 0x9_fc30;
    assert_eq!(
        machine.acpi().rsdp.unwrap().source,
        RsdpSource::Memory(0x9_fc30)
    );
}

#[test]
fn the_wide_field_counts_where_it_is_not_zero() {
    let mut machine = Machine::of(Q35);
    let (_, fadt) = machine
        .0
        .iter_mut()
        .find(|(_, bytes)| bytes.starts_with(b"FACP"))
        .unwrap();
    fadt[132..140].copy_from_slice(&0x1_2345_6000u64.to_le_bytes());
    fadt[140..148].copy_from_slice(&0u64.to_le_bytes());
    // The timer in memory, where the 32-bit field names a port.
    fadt[208..220].copy_from_slice(&[0, 32, 0, 3, 0, 0, 0, 0xfe, 0, 0, 0, 0]);
    repair(fadt);
    let fadt = machine.acpi().fadt.unwrap();
    assert_eq!(
        (fadt.facs, fadt.dsdt),
        (Some(0x1_2345_6000), Some(0xffe_0040))
    );
    let timer = fadt.pm_timer.unwrap().register;
    let place = (timer.space, timer.address, timer.access_size, timer.port());
    assert_eq!(place, (AddressSpace::Memory, 0xfe00_0000, 3, None));
}

#[test]
fn fixed_hardware_is_not_there_on_reduced_machines() {
    let mut machine = Machine::of(Q35);
    let fadt = machine
        .0
        .iter_mut()
        .find(|(_, bytes)| bytes.starts_with(b"FACP"))
        .unwrap();
    fadt.1[114] |= 0x10;
    repair(&mut fadt.1);
    let fadt = machine.acpi().fadt.unwrap();
    assert_eq!(
        (fadt.pm_timer, fadt.pm1a_control, fadt.pm1a_event),
        (None, None, None)
    );
    assert!(fadt.reset.is_some());
}
