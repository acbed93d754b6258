//! The date: read from the machine's battery-backed clock at boot, then set by the first domain.

use super::{clock, port};
use crate::domain::Domains;
use crate::lock::IrqLock;
use crate::sync::rank;
use crate::time::cmos::{self, Cmos};
use crate::time::guest_clock::WallClock;

/// UTC at system time 0. Held while all domains are told, so that they are told in the same order.
static WALL_CLOCK: IrqLock<WallClock, { rank::WALL_CLOCK }> = IrqLock::new(WallClock {
    seconds: 0,
    nanoseconds: 0,
});

/// The clock of a PC, behind an index and a data port.
struct Ports;

/// Bit 7 of the index masks NMIs on old machines; it stays clear, as firmware leaves it.
const INDEX: u16 = 0x70;
const DATA: u16 = 0x71;

impl Cmos for Ports {
    fn read(&self, register: u8) -> u8 {
        // SAFETY: the clock's ports are on every PC; reading its registers changes nothing, and no domain runs
        // yet that could use the index in between.
        unsafe {
            port::write_u8(INDEX, register & 0x7f);
            port::read_u8(DATA)
        }
    }
}

/// Reads the date. `century` is the register that ACPI names, 0 for none.
pub(super) fn start(century: u8) {
    match cmos::read_utc(&Ports, (century != 0).then_some(century)) {
        Ok(utc) => {
            *WALL_CLOCK.lock() = WallClock::from_utc(utc, 0, clock::now_ns());
            log::info!("Time: the CMOS clock says {utc} s since 1970, UTC");
        }
        Err(error) => {
            log::warn!("Time: {error}: the date is unknown until the first domain sets it")
        }
    }
}

/// UTC at system time 0.
pub(crate) fn now() -> WallClock {
    *WALL_CLOCK.lock()
}

/// It was `seconds` and `nanoseconds` after 1970 at `system_time_ns`. All domains are told.
pub(crate) fn set(seconds: u64, nanoseconds: u32, system_time_ns: u64) {
    let mut held = WALL_CLOCK.lock();
    *held = WallClock::from_utc(seconds, nanoseconds, system_time_ns);
    Domains.set_wall_clock(*held);
}
