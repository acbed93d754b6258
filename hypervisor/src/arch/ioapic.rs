//! IO-APICs: found, mapped, and silent until somebody asks for a line.

use super::paging;
use crate::lock::IrqLock;
use crate::machine::acpi::IoApic as Description;

/// The most that are driven.
pub(super) const MAX: usize = 16;
/// Registers (82093AA data sheet, 3.2): which one, its value.
const SELECT: u64 = 0x00;
const WINDOW: u64 = 0x10;
const VERSION: u32 = 0x01;
const REDIRECTION: u32 = 0x10;
const MASKED: u64 = 1 << 16;

/// One IO-APIC.
#[derive(Clone, Copy)]
pub(super) struct IoApic {
    registers: u64,
    /// Number of the interrupt at its first pin.
    pub(super) gsi_base: u32,
    /// Its pins.
    pub(super) pins: u32,
}

static ALL: IrqLock<[Option<IoApic>; MAX]> = IrqLock::new([None; MAX]);

impl IoApic {
    fn read(&self, register: u32) -> u32 {
        // SAFETY: `start` mapped the registers of a device that ACPI names; the lock on `ALL` keeps
        // selecting and reading together.
        unsafe {
            ((self.registers + SELECT) as *mut u32).write_volatile(register);
            ((self.registers + WINDOW) as *const u32).read_volatile()
        }
    }

    fn write(&self, register: u32, value: u32) {
        // SAFETY: as in `read`.
        unsafe {
            ((self.registers + SELECT) as *mut u32).write_volatile(register);
            ((self.registers + WINDOW) as *mut u32).write_volatile(value);
        }
    }

    fn set_redirection(&self, pin: u32, entry: u64) {
        // Masked while it is half written.
        self.write(REDIRECTION + 2 * pin, MASKED as u32);
        self.write(REDIRECTION + 2 * pin + 1, (entry >> 32) as u32);
        self.write(REDIRECTION + 2 * pin, entry as u32);
    }
}

/// Starts driving the IO-APIC that ACPI describes: all pins masked. Returns its number of pins, 0 if it
/// does not answer like one.
pub(super) fn start(description: &Description) -> u32 {
    // SAFETY: ACPI says that an IO-APIC is there; nobody else drives it.
    let registers = unsafe { paging::map_device(u64::from(description.address), 4096) };
    let mut all = ALL.lock();
    let mut device = IoApic {
        registers,
        gsi_base: description.gsi_base,
        pins: 0,
    };
    let version = device.read(VERSION);
    if version == u32::MAX {
        return 0;
    }
    device.pins = (version >> 16 & 0xff) + 1;
    for pin in 0..device.pins {
        device.set_redirection(pin, MASKED);
    }
    match all.iter_mut().find(|slot| slot.is_none()) {
        Some(slot) => *slot = Some(device),
        None => return 0,
    }
    device.pins
}

/// Sends every edge of interrupt line `gsi` to the processor with local APIC number `target` as an NMI. `false` if
/// there is no such line, or no such target for an IO-APIC.
pub(super) fn route_as_nmi(gsi: u32, target: u32) -> bool {
    let Ok(target) = u8::try_from(target) else {
        return false;
    };
    let all = ALL.lock();
    let Some((device, pin)) = all.iter().flatten().find_map(|device| {
        let pin = gsi.checked_sub(device.gsi_base)?;
        (pin < device.pins).then_some((device, pin))
    }) else {
        return false;
    };
    const DELIVER_NMI: u64 = 4 << 8;
    device.set_redirection(pin, DELIVER_NMI | u64::from(target) << 56);
    true
}
