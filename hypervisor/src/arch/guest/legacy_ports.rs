//! Ports that the first domain shares with the hypervisor: channel 2 of the interval timer with its gate, and the
//! real-time clock, whose index and data port belong together.

use crate::arch::port;
use crate::emulate::ports::{self, TimerCommand};
use crate::lock::IrqLock;
use core::sync::atomic::{AtomicU8, Ordering};

const TIMER_2: u16 = 0x42;
const TIMER_COMMAND: u16 = 0x43;
const GATE: u16 = 0x61;
const CLOCK_INDEX: u16 = 0x70;
const CLOCK_DATA: u16 = 0x71;
/// What nobody's port reads as.
const NOTHING: u8 = 0xff;

/// Held over each access to the clock, and over a change of the gate. A leaf.
static CLOCK: IrqLock<()> = IrqLock::new(());

/// The first domain reads a port of the interval timer.
pub(super) fn read_timer(at: u16) -> u8 {
    match at {
        // SAFETY: the hypervisor uses channel 2 at boot only.
        TIMER_2 => unsafe { port::read_u8(TIMER_2) },
        _ => NOTHING,
    }
}

/// The first domain writes a port of the interval timer: what is not about channel 2 is ignored.
pub(super) fn write_timer(at: u16, value: u8) {
    let is_allowed = match at {
        TIMER_2 => true,
        TIMER_COMMAND => ports::timer_command(value) == TimerCommand::Channel2,
        _ => false,
    };
    if is_allowed {
        // SAFETY: as in `read_timer`.
        unsafe { port::write_u8(at, value) };
    }
}

/// The first domain reads the speaker's port.
pub(super) fn read_gate() -> u8 {
    // SAFETY: reading it changes nothing.
    unsafe { port::read_u8(GATE) }
}

/// The first domain writes the speaker's port: only the gate and the speaker are its own.
pub(super) fn write_gate(value: u8) {
    let _held = CLOCK.lock();
    // SAFETY: gate and speaker of channel 2; the bits about parity and bus errors stay.
    unsafe { port::write_u8(GATE, ports::gate(port::read_u8(GATE), value)) };
}

/// The first domain, which has put `index` into the clock's index port, reads a port of the clock.
pub(super) fn read_clock(index: &AtomicU8, at: u16) -> u8 {
    if at == CLOCK_INDEX {
        return index.load(Ordering::Relaxed);
    }
    let _held = CLOCK.lock();
    // SAFETY: the lock keeps index and data together; bit 7 of the index, which masks NMIs, stays clear.
    unsafe {
        port::write_u8(CLOCK_INDEX, index.load(Ordering::Relaxed) & 0x7f);
        port::read_u8(CLOCK_DATA)
    }
}

/// As [`read_clock`], for a write.
pub(super) fn write_clock(index: &AtomicU8, at: u16, value: u8) {
    if at == CLOCK_INDEX {
        index.store(value & 0x7f, Ordering::Relaxed);
        return;
    }
    let _held = CLOCK.lock();
    // SAFETY: as in `read_clock`; the clock is the first domain's to set.
    unsafe {
        port::write_u8(CLOCK_INDEX, index.load(Ordering::Relaxed) & 0x7f);
        port::write_u8(CLOCK_DATA, value);
    }
}
