//! What firmware's tables say, at boot and for those who ask later.

use super::loader::{direct_ranges, report_ignored};
use crate::arch::{acpi_memory, apic, death, msi_map, power};
use crate::lock::IrqLock;
use crate::machine::acpi::{Acpi, MAX_IO_APICS, RsdpCopies};
use crate::machine::efi;
use crate::machine::multiboot::BootInfo;
use crate::machine::phys::PhysRange;
use crate::mm::platform::Device;
use crate::sync::rank;
use arrayvec::ArrayVec;
use guest_abi::ids::Mfn;

/// Where devices write to interrupt a processor (Intel SDM, volume 3, 11.11.1).
const MESSAGES: PhysRange = PhysRange {
    start: 0xfee0_0000,
    end: 0xfef0_0000,
};

/// What is read, held while the machine starts.
pub(super) static FOUND: IrqLock<Acpi, { rank::BOOT }> = IrqLock::new(Acpi::new());
/// The same, for those who ask later.
pub(super) static ACPI: IrqLock<Acpi, { rank::FIRMWARE }> = IrqLock::new(Acpi::new());

pub(super) fn read_acpi(acpi: &mut Acpi, rsdp: RsdpCopies<'_>) {
    let ranges = direct_ranges();
    let is_direct = |wanted: PhysRange| {
        ranges
            .iter()
            .flatten()
            .any(|&(start, end)| PhysRange { start, end }.contains(&wanted))
    };
    let found = acpi.discover(
        &acpi_memory::FirmwareMemory {
            is_direct: &is_direct,
        },
        rsdp,
    );
    for refusal in acpi.refusals.iter() {
        log::warn!("ACPI: {refusal}");
    }
    report_ignored("refused tables of ACPI", &acpi.refusals);
    report_ignored("tables of ACPI", &acpi.tables);
    if let Some(madt) = &acpi.madt {
        report_ignored("processors in the MADT", &madt.processors);
        report_ignored("IO-APICs in the MADT", &madt.io_apics);
        report_ignored("interrupt overrides in the MADT", &madt.isa_overrides);
        report_ignored("NMI sources in the MADT", &madt.nmi_sources);
        report_ignored("local NMIs in the MADT", &madt.local_nmis);
    }
    if let Some(mcfg) = &acpi.mcfg {
        report_ignored("regions in the MCFG", mcfg);
    }
    if let Err(error) = found {
        log::error!("{error}; going on with one processor and no IO-APIC");
    }
    if let Some((register, value)) = acpi.fadt.as_ref().and_then(|fadt| fadt.reset.as_ref())
        && let Some(port) = register.port()
    {
        death::set_reset_port(port, *value);
    }
    power::start(acpi, &is_direct);
}

/// Where UEFI says that ACPI's root pointer is.
pub(super) fn efi_rsdp(info: &BootInfo<'_>) -> Option<u64> {
    let table = info.efi64_system_table?;
    let ranges = direct_ranges();
    let is_direct = |wanted: PhysRange| {
        ranges
            .iter()
            .flatten()
            .any(|&(start, end)| PhysRange { start, end }.contains(&wanted))
    };
    efi::rsdp_address(
        &acpi_memory::FirmwareMemory {
            is_direct: &is_direct,
        },
        table,
    )
}

/// The number in the ACPI namespace of the processor with this local APIC.
pub(in crate::arch) fn acpi_number(apic_id: u32) -> Option<u32> {
    let acpi = ACPI.lock();
    let madt = acpi.madt.as_ref()?;
    let found = madt
        .processors
        .iter()
        .find(|processor| processor.apic_id == apic_id);
    found.map(|processor| processor.acpi_id)
}

/// Device memory that is the hypervisor's alone, ascending: the controllers of interrupts, and the addresses to which
/// messages go.
pub(in crate::arch) fn denied_ranges() -> ArrayVec<PhysRange, { MAX_IO_APICS + 2 }> {
    let mut ranges = ArrayVec::new();
    let window = PhysRange::from_len(apic::window_address(), 4096);
    if !MESSAGES.contains(&window) {
        ranges.push(window);
    }
    ranges.push(MESSAGES);
    if let Some(madt) = ACPI.lock().madt.as_ref() {
        let io_apics = madt.io_apics.iter();
        ranges
            .extend(io_apics.map(|io_apic| {
                PhysRange::from_len(u64::from(io_apic.address), 1).touched_frames()
            }));
    }
    ranges.sort_unstable_by_key(|range| range.start);
    ranges
}

/// What a frame outside of RAM is to the domain that owns the hardware.
pub(in crate::arch) fn device_of_first_domain(mfn: Mfn) -> Device {
    let frame = PhysRange::from_len(mfn.address(), 4096);
    if denied_ranges().iter().any(|range| range.overlaps(&frame)) {
        return Device::Forbidden;
    }
    let acpi = ACPI.lock();
    // Where messages go is not for a domain to say: it reads the tables, and its writes are dropped.
    if msi_map::is_table(mfn) {
        return Device::ReadOnly;
    }
    // Firmware's methods look at the HPET to find out whether there is one; the counters are ours.
    let is_hpet = acpi
        .hpet
        .as_ref()
        .is_some_and(|hpet| hpet.address >> 12 == mfn.0);
    if is_hpet {
        Device::ReadOnly
    } else {
        Device::Allowed
    }
}
