//! Interrupt controllers, clocks and processors, each started when its turn comes.

use super::loader::is_memory;
use crate::arch::clock::Reference;
use crate::arch::{apic, clock, death, ioapic, layout, msr, port, smp, watchdog};
use crate::console;
use crate::machine::acpi::Acpi;
use crate::machine::phys::PhysRange;
use crate::options::{Options, Watchdog};

unsafe extern "C" {
    /// Root of the early page tables, at its unmoved physical address.
    static boot_l4: u8;
}

/// The two old interrupt controllers, out of the way: remapped off the exceptions, then all masked.
pub(super) fn mask_8259() {
    // SAFETY: both controllers are on every PC and nobody else's; 0xe0 to 0xef are unused vectors, which a
    // spurious interrupt of theirs may still arrive on.
    unsafe {
        for (port, value) in [
            (0x20, 0x11),
            (0xa0, 0x11),
            (0x21, 0xe0),
            (0xa1, 0xe8),
            (0x21, 4),
            (0xa1, 2),
            (0x21, 1),
            (0xa1, 1),
            (0x21, 0xff),
            (0xa1, 0xff),
        ] {
            port::write_u8(port, value);
        }
    }
}

pub(super) fn start_io_apics(acpi: &Acpi) {
    let Some(madt) = acpi.madt.as_ref() else {
        return;
    };
    if madt.io_apics.len() > ioapic::MAX {
        console::warning(format_args!(
            "the MADT lists {} IO-APICs: only {} are used",
            madt.io_apics.len(),
            ioapic::MAX
        ));
    }
    for io_apic in madt.io_apics.iter().take(ioapic::MAX) {
        let registers = PhysRange::from_len(u64::from(io_apic.address), 4096);
        if is_memory(&registers) {
            console::warning(format_args!(
                "the MADT has an IO-APIC at {:#x}, which is memory; it is left alone",
                io_apic.address
            ));
            continue;
        }
        match ioapic::start(io_apic) {
            0 => log::warn!(
                "the IO-APIC at {:#x} does not answer; it is left alone",
                io_apic.address
            ),
            pins => log::info!(
                "IO-APIC {} at {:#x}: interrupts {} to {}",
                io_apic.id,
                io_apic.address,
                io_apic.gsi_base,
                io_apic.gsi_base.saturating_add(pins - 1)
            ),
        }
    }
}

pub(super) fn start_clock(acpi: &Acpi) {
    let hpet = acpi.hpet.as_ref().map(|hpet| hpet.address);
    let hpet = hpet.filter(|&address| {
        let is_memory = is_memory(&PhysRange::from_len(address, clock::HPET_BYTES));
        if is_memory {
            console::warning(format_args!(
                "ACPI has an HPET at {address:#x}, which is memory; it is left alone"
            ));
        }
        !is_memory
    });
    let pm_timer = acpi
        .fadt
        .as_ref()
        .and_then(|fadt| fadt.pm_timer.as_ref())
        .and_then(|timer| Some((timer.register.port()?, timer.bits == 32)));
    match clock::calibrate(hpet, pm_timer) {
        Ok(reference) => {
            if let (Some(address), false) = (hpet, matches!(reference, Reference::Hpet(_))) {
                console::warning(format_args!(
                    "the HPET that ACPI has at {address:#x} does not count as one does; it is not used"
                ));
            }
            let khz = clock::tsc_khz();
            log::info!(
                "Time: TSC at {}.{:03} MHz by {reference}",
                khz / 1000,
                khz % 1000
            );
        }
        Err(error) => death::die(format_args!("{error}"), None),
    }
    if let Err(apic::TimerStands) = apic::calibrate_timer() {
        death::die(
            format_args!("the local APIC's timer does not count: nothing would ever be in time"),
            None,
        );
    }
    let mode = if apic::is_x2apic() { "x2APIC" } else { "xAPIC" };
    match apic::ticks_per_ms() {
        0 => log::info!("Local APIC: {mode}, timer in TSC-deadline mode"),
        ticks => log::info!(
            "Local APIC: {mode}, timer at {}.{:03} MHz",
            ticks / 1000,
            ticks % 1000
        ),
    }
}

/// Starts the other processors.
///
/// # Safety
/// As `smp::start_others`.
pub(super) unsafe fn start_processors(acpi: &Acpi, load_base: u64, max: u32) -> u32 {
    let Some(madt) = acpi.madt.as_ref() else {
        return 1;
    };
    let own = apic::id();
    let others = madt
        .processors
        .iter()
        .filter(|processor| processor.is_enabled && processor.apic_id != own)
        .map(|processor| processor.apic_id);
    let can_be_reached = |id: &u32| apic::is_x2apic() || *id <= apic::MAX_XAPIC_ID;
    let nr_left_out = others.clone().filter(|id| !can_be_reached(id)).count();
    if nr_left_out != 0 {
        console::warning(format_args!(
            "MADT: {nr_left_out} processors are left out: their APIC ids are above {}, and the local APIC is in xAPIC mode: see option x2apic",
            apic::MAX_XAPIC_ID
        ));
    }
    let others = others.filter(can_be_reached);
    let early_root = &raw const boot_l4 as u64 - layout::IMAGE_UNMOVED + load_base;
    // SAFETY: caller.
    unsafe { smp::start_others(others, max.saturating_sub(1) as usize, early_root) }
}

pub(super) fn start_watchdog(acpi: &Acpi, options: &Options) {
    if options.watchdog == Watchdog::Off || options.watchdog_timeout_s == 0 {
        return;
    }
    // The PIT is ISA interrupt 0.
    let gsi = acpi.madt.as_ref().map(|madt| madt.isa_interrupt(0).0);
    if gsi.is_some_and(|gsi| watchdog::start(gsi, options.watchdog_timeout_s)) {
        log::info!("Watchdog: on, {} s", options.watchdog_timeout_s);
    } else {
        console::warning(format_args!(
            "option watchdog: no IO-APIC has the PIT's interrupt: it stays off"
        ));
    }
}

/// Arms this processor's timer and waits for it: a machine whose timer is dead is better refused now.
pub(super) fn check_timer() {
    const NS: u64 = 100_000;
    let before = watchdog::beats(0);
    apic::arm_timer(msr::tsc() + clock::ns_to_ticks(NS), NS);
    x86_64::instructions::interrupts::enable();
    for _ in 0..10_000 {
        if watchdog::beats(0) != before {
            return;
        }
        clock::wait_us(100);
    }
    death::die(
        format_args!("the local APIC timer of CPU0 does not fire"),
        None,
    );
}
