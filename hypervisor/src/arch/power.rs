//! Turning the machine off, by ACPI's control registers: with the values that the first domain's own ACPI
//! interpreter found, or with those that our search of the tables did.

use super::{acpi_memory, clock, death, port};
use crate::machine::acpi::{Acpi, SleepTypes};
use crate::machine::phys::PhysRange;
use crate::platform::operation::CannotSleep;
use spin::Once;

/// Bit 13 of a control register: go to sleep now.
const SLEEP_ENABLE: u16 = 1 << 13;
/// Where the sleep type is.
const SLEEP_TYPE_SHIFT: u32 = 10;
/// Bits 10 to 12.
const SLEEP_TYPE: u16 = 7 << SLEEP_TYPE_SHIFT;
/// How long a machine may take to go.
const OFF_LIMIT_MS: u32 = 1000;

/// The control registers of the fixed hardware.
#[derive(Clone, Copy)]
struct Control {
    a: u16,
    b: Option<u16>,
    /// For "soft off".
    off: Option<SleepTypes>,
}

static CONTROL: Once<Control> = Once::new();

/// Remembers what ACPI says.
pub(super) fn start(acpi: &Acpi, is_direct: &dyn Fn(PhysRange) -> bool) {
    let Some(fadt) = acpi.fadt.as_ref() else {
        return;
    };
    let port = |register: &Option<crate::machine::acpi::Register>| {
        register.as_ref().and_then(|register| register.port())
    };
    let Some(a) = port(&fadt.pm1a_control) else {
        return;
    };
    let memory = acpi_memory::FirmwareMemory { is_direct };
    let dsdt = acpi.dsdt(&memory).unwrap_or_else(|refusal| {
        log::warn!("ACPI: {refusal}");
        None
    });
    let off = acpi.soft_off(&memory, dsdt.as_ref());
    if off.is_none() {
        log::info!("ACPI: no _S5 object found: only the first domain can turn the machine off");
    }
    CONTROL.call_once(|| Control {
        a,
        b: port(&fadt.pm1b_control),
        off,
    });
}

/// Whether the first domain may turn the machine off with these values.
pub(crate) fn check(value_a: u16, value_b: u16) -> Result<(), CannotSleep> {
    let control = CONTROL.get().ok_or(CannotSleep::NoRegister)?;
    let starts = |value: u16| value & SLEEP_ENABLE != 0;
    if starts(value_a) && (control.b.is_none() || starts(value_b)) {
        Ok(())
    } else {
        Err(CannotSleep::Values)
    }
}

/// Turns the machine off with values that [`check`] accepts. All processors have stopped but this one.
pub(super) fn off_with(value_a: u16, value_b: u16) {
    let Some(control) = CONTROL.get() else { return };
    set(control.a, value_a);
    if let Some(b) = control.b {
        set(b, value_b);
    }
    clock::wait_ms(OFF_LIMIT_MS);
}

/// Turns the machine off, if our own search found out how. All processors have stopped but this one.
pub(super) fn off() {
    if let Some(off) = CONTROL.get().and_then(|control| control.off) {
        let value = |sleep_type: u8| u16::from(sleep_type) << SLEEP_TYPE_SHIFT | SLEEP_ENABLE;
        off_with(value(off.a), value(off.b));
    }
}

/// Writes sleep type and sleep bit; the register's other bits stay.
fn set(register: u16, value: u16) {
    const OWN: u16 = SLEEP_TYPE | SLEEP_ENABLE;
    // SAFETY: ACPI says that this is a power-management control register, and the machine is to go.
    unsafe {
        let others = port::read_u16(register) & !OWN;
        // The type first, then the bit that starts it, as the specification wants.
        port::write_u16(register, others | value & SLEEP_TYPE);
        port::write_u16(register, others | value & OWN);
    }
}

/// Turns the machine off as the first domain wants it.
pub(crate) fn sleep(value_a: u16, value_b: u16) -> ! {
    death::stop_machine();
    off_with(value_a, value_b);
    death::stay_off()
}
