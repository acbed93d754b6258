//! Time: the TSC, and the clock that tells its rate — HPET, else the ACPI PM timer, else the PIT.

use super::features::{self, Features};
use super::{msr, paging, port};
use crate::time::calibration::{Counter, measured_khz};
use crate::time::clock::SystemClock;
use crate::time::guest_clock;
use crate::time::scale::TscScale;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use guest_abi::time::VcpuTimeInfo;

/// The TSC's rate: multiplier in the low half, shift above it. Until it is measured, that of a fast TSC
/// (8 GHz), so that early time stamps are not later than later ones.
static SCALE: AtomicU64 = AtomicU64::new(packed(TscScale {
    mul: 1 << 31,
    shift: -2,
}));
/// TSC at time zero: when the loader handed over.
static ORIGIN: AtomicU64 = AtomicU64::new(0);
static KHZ: AtomicU64 = AtomicU64::new(0);

const fn packed(scale: TscScale) -> u64 {
    scale.mul as u64 | (scale.shift as u8 as u64) << 32
}

/// System time by the TSC. Its base is never moved: the same reading gives the same time on all
/// processors and for all guests, and 64 bits of ticks last longer than the machine.
fn clock() -> SystemClock {
    let scale = SCALE.load(Ordering::Relaxed);
    SystemClock {
        base_tsc: ORIGIN.load(Ordering::Relaxed),
        base_ns: 0,
        scale: TscScale {
            mul: scale as u32,
            shift: (scale >> 32) as i8,
        },
    }
}

/// Time zero is when the TSC was `tsc`.
pub(super) fn set_origin(tsc: u64) {
    ORIGIN.store(tsc, Ordering::Relaxed);
}

/// Nanoseconds since time zero.
pub(crate) fn now_ns() -> u64 {
    clock().ns_at(msr::tsc())
}

/// TSC ticks in `ns` nanoseconds, rounded up.
pub(super) fn ns_to_ticks(ns: u64) -> u64 {
    clock().scale.ns_to_ticks(ns)
}

/// The first reading of the TSC at which system time is `ns`.
pub(super) fn tsc_at(ns: u64) -> u64 {
    clock().tsc_at(ns)
}

/// Rate of the TSC in kHz; 0 until measured.
pub(crate) fn tsc_khz() -> u64 {
    KHZ.load(Ordering::Relaxed)
}

/// Waits, spinning.
pub(super) fn wait_us(us: u64) {
    let start = msr::tsc();
    let ticks = ns_to_ticks(us.saturating_mul(1000));
    while msr::tsc().wrapping_sub(start) < ticks {
        core::hint::spin_loop();
    }
}

/// Waits, spinning.
pub(super) fn wait_ms(ms: u32) {
    wait_us(u64::from(ms) * 1000);
}

/// Where the rate of the TSC was learned.
#[derive(Clone, Copy)]
pub(super) enum Reference {
    /// High-precision event timer at this machine address.
    Hpet(u64),
    /// ACPI power-management timer at this I/O port; 32 bits wide if the flag is set, else 24.
    PmTimer(u16, bool),
    /// Channel 2 of the programmable interval timer.
    Pit,
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hpet(address) => write!(f, "HPET at {address:#x}"),
            Self::PmTimer(port, is_wide) => {
                write!(
                    f,
                    "ACPI PM timer ({} bits) at port {port:#x}",
                    if *is_wide { 32 } else { 24 }
                )
            }
            Self::Pit => f.write_str("PIT"),
        }
    }
}

/// Of an HPET's registers (IA-PC HPET specification 1.0a, 2.3.1).
pub(super) const HPET_BYTES: u64 = 1024;

struct Hpet {
    registers: u64,
    hz: u64,
    mask: u64,
}

impl Hpet {
    /// The HPET at `address`, counting; `None` if what is there is not one.
    ///
    /// # Safety
    /// ACPI says that an HPET is at `address`, and firmware's map that no memory is there.
    unsafe fn start(address: u64) -> Option<Self> {
        // SAFETY: a device by ACPI's word, and no memory by firmware's map.
        let registers = unsafe { paging::map_device(address, HPET_BYTES) };
        // SAFETY: mapped above; registers 0 (capabilities), 0x10 (configuration) as the specification says.
        let capabilities = unsafe { (registers as *const u64).read_volatile() };
        let period_fs = capabilities >> 32;
        // The specification's bound: a period of 100 ns at most.
        if !(1..=100_000_000).contains(&period_fs) {
            return None;
        }
        // SAFETY: as above: bit 0 lets the main counter run.
        unsafe {
            let configuration = (registers + 0x10) as *mut u64;
            configuration.write_volatile(configuration.read_volatile() | 1);
        }
        let mask = if capabilities & 1 << 13 != 0 {
            u64::MAX
        } else {
            u64::from(u32::MAX)
        };
        let hpet = Self {
            registers,
            hz: 1_000_000_000_000_000 / period_fs,
            mask,
        };
        let first = hpet.read();
        (0..1_000_000).any(|_| hpet.read() != first).then_some(hpet)
    }
}

impl Counter for Hpet {
    fn read(&self) -> u64 {
        // SAFETY: the main counter (offset 0xf0) of a mapped HPET.
        let value = unsafe { ((self.registers + 0xf0) as *const u64).read_volatile() };
        value & self.mask
    }
    fn mask(&self) -> u64 {
        self.mask
    }
    fn hz(&self) -> u64 {
        self.hz
    }
}

struct PmTimer {
    port: u16,
    mask: u64,
}

impl Counter for PmTimer {
    fn read(&self) -> u64 {
        // SAFETY: reading the PM timer, which ACPI says is at this port, has no side effect.
        u64::from(unsafe { port::read_u32(self.port) }) & self.mask
    }
    fn mask(&self) -> u64 {
        self.mask
    }
    fn hz(&self) -> u64 {
        3_579_545
    }
}

/// Channel 2 of the PIT counting down from 65,535 once, its gate opened by port 0x61.
struct Pit;

impl Pit {
    fn start() -> Self {
        // SAFETY: the PIT's command (0x43) and channel 2 (0x42) ports and the gate (0x61) are on every PC;
        // channel 2 drives the speaker and nothing else, and its output stays disconnected (bit 1 clear).
        unsafe {
            port::write_u8(0x61, port::read_u8(0x61) & !3);
            port::write_u8(0x43, 0b1011_0000);
            port::write_u8(0x42, 0xff);
            port::write_u8(0x42, 0xff);
            port::write_u8(0x61, port::read_u8(0x61) & !3 | 1);
        }
        Self
    }
}

impl Counter for Pit {
    fn read(&self) -> u64 {
        // SAFETY: latches and reads channel 2.
        let count = unsafe {
            port::write_u8(0x43, 0b1000_0000);
            u16::from(port::read_u8(0x42)) | u16::from(port::read_u8(0x42)) << 8
        };
        u64::from(u16::MAX - count)
    }
    fn mask(&self) -> u64 {
        u64::from(u16::MAX)
    }
    fn hz(&self) -> u64 {
        1_193_182
    }
}

/// Learns the rate of the TSC from the best clock there is. `hpet` is the machine address of an HPET,
/// `pm_timer` port and width of a PM timer, as ACPI names them. `Err` if none of them counts.
pub(super) fn calibrate(
    hpet: Option<u64>,
    pm_timer: Option<(u16, bool)>,
) -> Result<Reference, NoClock> {
    let by_hpet = || {
        let address = hpet?;
        // SAFETY: the caller got the address from ACPI's HPET table, and has looked whether memory is there.
        let counter = unsafe { Hpet::start(address) }?;
        Some((measured_khz(&counter, &msr::tsc)?, Reference::Hpet(address)))
    };
    let by_pm_timer = || {
        let (port, wide) = pm_timer?;
        let mask = if wide { 0xffff_ffff } else { 0xff_ffff };
        Some((
            measured_khz(&PmTimer { port, mask }, &msr::tsc)?,
            Reference::PmTimer(port, wide),
        ))
    };
    let by_pit = || Some((measured_khz(&Pit::start(), &msr::tsc)?, Reference::Pit));
    let (khz, reference) = by_hpet()
        .or_else(by_pm_timer)
        .or_else(by_pit)
        .ok_or(NoClock)?;
    let scale = TscScale::from_khz(khz).ok_or(NoClock)?;
    KHZ.store(khz, Ordering::Relaxed);
    SCALE.store(packed(scale), Ordering::Relaxed);
    Ok(reference)
}

/// Neither HPET nor PM timer nor PIT counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoClock;

impl fmt::Display for NoClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "neither HPET nor ACPI PM timer nor PIT counts: the rate of the TSC can't be learned",
        )
    }
}

/// The clock as a guest is to read it. It stays the same for as long as the machine runs.
pub(crate) fn vcpu_time() -> VcpuTimeInfo {
    guest_clock::vcpu_time_info(&clock(), is_tsc_stable())
}

/// Whether the TSC counts at one rate for ever, and alike on all processors.
fn is_tsc_stable() -> bool {
    features::get().contains(Features::INVARIANT_TSC) && !COUNTERS_DIFFER.load(Ordering::Relaxed)
}

/// The latest reading by anybody who compares.
static LATEST: AtomicU64 = AtomicU64::new(0);
/// Somebody read less than had been read before.
static COUNTERS_DIFFER: AtomicBool = AtomicBool::new(false);

/// Waits, spinning, and compares this processor's TSC with that of whoever else does the same now: none
/// may read less than another has read before.
pub(super) fn wait_and_compare_us(us: u64) {
    let start = msr::tsc();
    let ticks = ns_to_ticks(us.saturating_mul(1000));
    loop {
        let latest = LATEST.load(Ordering::SeqCst);
        // The fence keeps the reading behind the load.
        // SAFETY: a fence.
        unsafe { core::arch::x86_64::_mm_lfence() };
        let now = msr::tsc();
        if now < latest {
            COUNTERS_DIFFER.store(true, Ordering::Relaxed);
        }
        LATEST.fetch_max(now, Ordering::SeqCst);
        if now.wrapping_sub(start) >= ticks {
            return;
        }
        core::hint::spin_loop();
    }
}

/// Whether the comparison has found processors whose counters differ.
pub(super) fn counters_differ() -> bool {
    COUNTERS_DIFFER.load(Ordering::Relaxed)
}
