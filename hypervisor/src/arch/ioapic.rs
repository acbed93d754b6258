//! IO-APICs: found, mapped, and silent until somebody asks for a line.
//!
//! Each has a lock, a leaf, which keeps the selecting of a register and the access to it together. What a pin's lower
//! word holds is remembered, so that masking a pin is a write and no read.

use super::paging;
use crate::irq::{Mask, Polarity, Signal, Trigger};
use crate::lock::IrqLock;
use crate::machine::acpi::IoApic as Description;
use core::array;
use core::sync::atomic::{AtomicUsize, Ordering};
use spin::Once;

/// The most that are driven.
pub(super) const MAX: usize = 16;
/// Registers (82093AA data sheet, 3.2): which one, its value, and on later ones the vector whose interrupts are over.
const SELECT: u64 = 0x00;
const WINDOW: u64 = 0x10;
const END: u64 = 0x40;
const VERSION: u32 = 0x01;
const REDIRECTION: u32 = 0x10;
/// From this version on there is the third register.
const HAS_END: u32 = 0x20;

/// Bits of a redirection entry's lower word.
const DELIVER_NMI: u32 = 4 << 8;
const IS_SENDING: u32 = 1 << 12;
const ACTIVE_LOW: u32 = 1 << 13;
const REMOTE_IRR: u32 = 1 << 14;
const LEVEL: u32 = 1 << 15;
const MASKED: u32 = 1 << 16;

/// One IO-APIC.
struct IoApic {
    /// Machine address of its registers.
    address: u64,
    /// Number of the interrupt at its first pin.
    gsi_base: u32,
    /// Its pins.
    pins: u32,
    has_end: bool,
    registers: IrqLock<Registers>,
}

/// Where they are mapped, and the lower word of each pin's entry.
struct Registers {
    address: u64,
    low: [u32; 256],
}

static ALL: [Once<IoApic>; MAX] = [const { Once::new() }; MAX];
static COUNT: AtomicUsize = AtomicUsize::new(0);

impl Registers {
    fn read(&self, register: u32) -> u32 {
        // SAFETY: `start` mapped the registers of a device that ACPI names; the lock around `self` keeps
        // selecting and reading together.
        unsafe {
            ((self.address + SELECT) as *mut u32).write_volatile(register);
            ((self.address + WINDOW) as *const u32).read_volatile()
        }
    }

    fn write(&self, register: u32, value: u32) {
        // SAFETY: as in `read`.
        unsafe {
            ((self.address + SELECT) as *mut u32).write_volatile(register);
            ((self.address + WINDOW) as *mut u32).write_volatile(value);
        }
    }

    fn set_low(&mut self, pin: u32, low: u32) {
        self.write(REDIRECTION + 2 * pin, low);
        if let Some(known) = self.low.get_mut(pin as usize) {
            *known = low;
        }
    }

    fn set_destination(&self, pin: u32, apic_id: u32) {
        self.write(REDIRECTION + 2 * pin + 1, apic_id << 24);
    }

    /// Writes a whole entry; masked while it is half written.
    fn set_entry(&mut self, pin: u32, apic_id: u32, low: u32) {
        let known = self.low(pin);
        self.set_low(pin, known | MASKED);
        self.set_destination(pin, apic_id);
        if low & MASKED == 0 {
            // First the vector, then the mask: some take the halves of a word apart.
            self.set_low(pin, low | MASKED);
        }
        self.set_low(pin, low);
    }

    fn low(&self, pin: u32) -> u32 {
        self.low.get(pin as usize).copied().unwrap_or(MASKED)
    }
}

/// Starts driving the IO-APIC that ACPI describes: all pins masked. Returns its number of pins, 0 if it
/// does not answer like one.
pub(super) fn start(description: &Description) -> u32 {
    // SAFETY: ACPI says that an IO-APIC is there; nobody else drives it.
    let address = unsafe { paging::map_device(u64::from(description.address), 4096) };
    let mut registers = Registers {
        address,
        low: array::from_fn(|_| MASKED),
    };
    let version = registers.read(VERSION);
    if version == u32::MAX {
        return 0;
    }
    let pins = (version >> 16 & 0xff) + 1;
    for pin in 0..pins {
        registers.set_entry(pin, 0, MASKED);
    }
    let index = COUNT.load(Ordering::Relaxed);
    let Some(slot) = ALL.get(index) else { return 0 };
    slot.call_once(|| IoApic {
        address: u64::from(description.address),
        gsi_base: description.gsi_base,
        pins,
        has_end: version & 0xff >= HAS_END,
        registers: IrqLock::new(registers),
    });
    COUNT.store(index + 1, Ordering::Release);
    pins
}

fn all() -> impl Iterator<Item = &'static IoApic> {
    ALL.iter().filter_map(Once::get)
}

/// The device and pin of interrupt line `gsi`.
fn find(gsi: u32) -> Option<(&'static IoApic, u32)> {
    all().find_map(|device| {
        let pin = gsi.checked_sub(device.gsi_base)?;
        (pin < device.pins).then_some((device, pin))
    })
}

/// Whether some IO-APIC has interrupt line `gsi`.
pub(super) fn has(gsi: u32) -> bool {
    find(gsi).is_some()
}

/// One more than the highest interrupt line of any.
pub(super) fn end() -> u32 {
    all()
        .map(|device| device.gsi_base.saturating_add(device.pins))
        .max()
        .unwrap_or(0)
}

/// Sends every edge of interrupt line `gsi` to the processor with local APIC number `target` as an NMI. `false` if
/// there is no such line, or no such target for an IO-APIC.
pub(super) fn route_as_nmi(gsi: u32, target: u32) -> bool {
    let (Ok(target), Some((device, pin))) = (u8::try_from(target), find(gsi)) else {
        return false;
    };
    device
        .registers
        .lock()
        .set_entry(pin, u32::from(target), DELIVER_NMI);
    true
}

/// Sends interrupt line `gsi` to a processor.
pub(super) fn set(gsi: u32, signal: Signal, apic_id: u32, vector: u8, mask: Mask) {
    let Some((device, pin)) = find(gsi) else {
        return;
    };
    let mut low = u32::from(vector);
    if signal.trigger == Trigger::Level {
        low |= LEVEL;
    }
    if signal.polarity == Polarity::Low {
        low |= ACTIVE_LOW;
    }
    if mask == Mask::Masked {
        low |= MASKED;
    }
    device.registers.lock().set_entry(pin, apic_id, low);
}

/// Masks interrupt line `gsi` or lets it through.
pub(super) fn mask(gsi: u32, mask: Mask) {
    let Some((device, pin)) = find(gsi) else {
        return;
    };
    let mut registers = device.registers.lock();
    let low = registers.low(pin);
    let low = match mask {
        Mask::Masked => low | MASKED,
        Mask::Open => low & !MASKED,
    };
    registers.set_low(pin, low);
    if mask == Mask::Masked {
        // Reading back makes sure that it is masked before the local APIC lets another one through.
        let _ = registers.read(REDIRECTION + 2 * pin);
    }
}

/// Sends interrupt line `gsi` to another processor, by one write.
pub(super) fn set_destination(gsi: u32, apic_id: u32) {
    if let Some((device, pin)) = find(gsi) {
        device.registers.lock().set_destination(pin, apic_id);
    }
}

/// Whether an interrupt of the line is on its way, or not over yet.
pub(super) fn is_busy(gsi: u32) -> bool {
    let Some((device, pin)) = find(gsi) else {
        return false;
    };
    let low = device.registers.lock().read(REDIRECTION + 2 * pin);
    low & (IS_SENDING | REMOTE_IRR) != 0
}

/// Makes a level line that is masked forget an interrupt whose end it has missed.
pub(super) fn settle(gsi: u32) {
    let Some((device, pin)) = find(gsi) else {
        return;
    };
    let mut registers = device.registers.lock();
    let low = registers.read(REDIRECTION + 2 * pin);
    if low & REMOTE_IRR == 0 {
        return;
    }
    if device.has_end {
        // SAFETY: the register is there (version); it takes the vector of the interrupt that is over.
        unsafe { ((registers.address + END) as *mut u32).write_volatile(low & 0xff) };
    } else {
        // As an edge there is nothing to be remembered.
        let low = registers.low(pin) | MASKED;
        registers.set_low(pin, low & !LEVEL);
        registers.set_low(pin, low);
    }
}

/// Register `register` of the IO-APIC at machine address `address`. `None` if none is there.
pub(super) fn register(address: u64, register: u8) -> Option<u32> {
    let device = all().find(|device| device.address == address)?;
    Some(device.registers.lock().read(u32::from(register)))
}
