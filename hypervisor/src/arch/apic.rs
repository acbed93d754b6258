//! The local APIC, by memory (xAPIC) or by model-specific registers (x2APIC): the processor's number,
//! interrupts to other processors, and the one-shot timer.

use super::features::{self, Features};
use super::{clock, msr, traps};
use crate::time::calibration::{Counter, measured_khz};
use crate::time::scale::NS_PER_SECOND;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// Register offsets in the memory window (Intel SDM volume 3, table 12-1); the x2APIC register number is
/// the offset divided by 16.
mod register {
    pub(super) const ID: u32 = 0x020;
    pub(super) const TASK_PRIORITY: u32 = 0x080;
    pub(super) const END_OF_INTERRUPT: u32 = 0x0b0;
    pub(super) const SPURIOUS: u32 = 0x0f0;
    pub(super) const ERROR_STATUS: u32 = 0x280;
    pub(super) const COMMAND_LOW: u32 = 0x300;
    pub(super) const COMMAND_HIGH: u32 = 0x310;
    pub(super) const TIMER: u32 = 0x320;
    pub(super) const PERFORMANCE: u32 = 0x340;
    pub(super) const LINT0: u32 = 0x350;
    pub(super) const LINT1: u32 = 0x360;
    pub(super) const ERROR: u32 = 0x370;
    pub(super) const INITIAL_COUNT: u32 = 0x380;
    pub(super) const CURRENT_COUNT: u32 = 0x390;
    pub(super) const DIVIDE: u32 = 0x3e0;
}

const MASKED: u32 = 1 << 16;
const DELIVER_NMI: u32 = 4 << 8;
const DELIVER_EXTERNAL: u32 = 7 << 8;
const TIMER_DEADLINE: u32 = 2 << 17;
const BASE_ENABLE: u64 = 1 << 11;
const BASE_X2APIC: u64 = 1 << 10;
/// Divide the bus clock by one.
const DIVIDE_BY_1: u32 = 0b1011;

/// Virtual address of the register window; unused with x2APIC.
static WINDOW: AtomicU64 = AtomicU64::new(0);
static IS_X2APIC: AtomicBool = AtomicBool::new(false);
/// Timer ticks in a millisecond when there is no deadline mode.
static TICKS_PER_MS: AtomicU32 = AtomicU32::new(0);

/// What an interprocessor interrupt does.
#[derive(Clone, Copy)]
pub(super) enum Message {
    /// An ordinary interrupt.
    Interrupt(u8),
    /// A non-maskable one.
    Nmi,
    /// Reset to the wait-for-start state.
    Init,
    /// Start at this page below 1 MiB.
    Startup(u8),
}

fn read(offset: u32) -> u32 {
    if IS_X2APIC.load(Ordering::Relaxed) {
        // SAFETY: x2APIC mode is on (flag), so the registers exist.
        return unsafe { msr::read(msr::X2APIC_FIRST + offset / 16) } as u32;
    }
    // SAFETY: `start` mapped the window before anything else here is called; offsets are inside it.
    unsafe { ((WINDOW.load(Ordering::Relaxed) + u64::from(offset)) as *const u32).read_volatile() }
}

fn write(offset: u32, value: u32) {
    if IS_X2APIC.load(Ordering::Relaxed) {
        // SAFETY: as in `read`; the values written here are legal for their registers.
        unsafe { msr::write(msr::X2APIC_FIRST + offset / 16, u64::from(value)) };
        return;
    }
    // SAFETY: as in `read`.
    unsafe {
        ((WINDOW.load(Ordering::Relaxed) + u64::from(offset)) as *mut u32).write_volatile(value)
    };
}

/// Machine address of the register window.
pub(super) fn window_address() -> u64 {
    // SAFETY: every processor with a local APIC (checked at start) has this register.
    unsafe { msr::read(msr::APIC_BASE) & 0x000f_ffff_ffff_f000 }
}

/// Decides the mode for the whole machine: x2APIC where it is there and wanted, or where the firmware left
/// it on (there is no way back without a reset). `window` is where the registers are mapped.
pub(super) fn start(window: u64, want_x2apic: bool) {
    WINDOW.store(window, Ordering::Relaxed);
    // SAFETY: as in `window_address`.
    let already = unsafe { msr::read(msr::APIC_BASE) } & BASE_X2APIC != 0;
    let use_it = features::get().contains(Features::X2APIC) && (want_x2apic || already);
    IS_X2APIC.store(use_it, Ordering::Relaxed);
}

/// The greatest id that can be sent to in xAPIC mode: one more means all.
pub(super) const MAX_XAPIC_ID: u32 = 254;

/// Whether the x2APIC is in use.
pub(super) fn is_x2apic() -> bool {
    IS_X2APIC.load(Ordering::Relaxed)
}

/// Switches this processor's local APIC on: no sources but errors and NMIs, all priorities accepted.
pub(super) fn set_up_processor() {
    // SAFETY: the register exists; enabling what `start` found to be there keeps the window in place.
    unsafe {
        let base = msr::read(msr::APIC_BASE) | BASE_ENABLE;
        msr::write(msr::APIC_BASE, base);
        if is_x2apic() {
            msr::write(msr::APIC_BASE, base | BASE_X2APIC);
        }
    }
    write(
        register::SPURIOUS,
        1 << 8 | u32::from(traps::VECTOR_SPURIOUS),
    );
    write(register::TASK_PRIORITY, 0);
    write(register::TIMER, MASKED);
    write(register::PERFORMANCE, MASKED);
    write(register::LINT0, MASKED | DELIVER_EXTERNAL);
    write(register::LINT1, DELIVER_NMI);
    write(register::ERROR_STATUS, 0);
    write(register::ERROR, u32::from(traps::VECTOR_APIC_ERROR));
}

/// The local APIC's number of this processor.
pub(super) fn id() -> u32 {
    let raw = read(register::ID);
    if is_x2apic() { raw } else { raw >> 24 }
}

/// Acknowledges the interrupt being handled.
pub(super) fn end_of_interrupt() {
    write(register::END_OF_INTERRUPT, 0);
}

/// Reads and clears the error register.
pub(super) fn error_status() -> u32 {
    write(register::ERROR_STATUS, 0);
    read(register::ERROR_STATUS)
}

/// Sends `message` to the processor with local APIC number `target`.
pub(super) fn send(target: u32, message: Message) {
    let low = match message {
        Message::Interrupt(vector) => u32::from(vector),
        Message::Nmi => DELIVER_NMI,
        // Level, asserted.
        Message::Init => 5 << 8 | 1 << 14,
        Message::Startup(page) => 6 << 8 | u32::from(page),
    };
    if is_x2apic() {
        // SAFETY: x2APIC is on; the command register takes target and command in one write. The fence
        // orders earlier stores before it (the write is not serializing; Intel SDM volume 3, 12.12.3).
        unsafe {
            core::arch::x86_64::_mm_mfence();
            msr::write(
                msr::X2APIC_FIRST + register::COMMAND_LOW / 16,
                u64::from(target) << 32 | u64::from(low),
            );
        }
        return;
    }
    // The two halves must not be torn apart by an interrupt handler that sends as well.
    let _off = crate::lock::InterruptsOff::new();
    wait_until_sent();
    write(register::COMMAND_HIGH, target << 24);
    write(register::COMMAND_LOW, low);
    wait_until_sent();
}

/// [`send`] from an NMI handler, which may have interrupted another `send` half way: its first half is put back.
pub(super) fn send_from_nmi(target: u32, message: Message) {
    if is_x2apic() {
        return send(target, message);
    }
    let high = read(register::COMMAND_HIGH);
    send(target, message);
    write(register::COMMAND_HIGH, high);
}

/// The delivery-status bit clears within microseconds; a stuck one must not stop the machine.
fn wait_until_sent() {
    for _ in 0..1_000_000 {
        if read(register::COMMAND_LOW) & 1 << 12 == 0 {
            return;
        }
        core::hint::spin_loop();
    }
}

/// System time as a counter.
struct SystemTime;

impl Counter for SystemTime {
    fn read(&self) -> u64 {
        clock::now_ns()
    }
    fn mask(&self) -> u64 {
        u64::MAX
    }
    fn hz(&self) -> u64 {
        NS_PER_SECOND
    }
}

/// The timer does not count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TimerStands;

/// Measures the timer's rate by system time, unless the processor has the deadline mode, which counts the TSC.
pub(super) fn calibrate_timer() -> Result<(), TimerStands> {
    if features::get().contains(Features::TSC_DEADLINE) {
        return Ok(());
    }
    write(register::DIVIDE, DIVIDE_BY_1);
    write(register::INITIAL_COUNT, u32::MAX);
    // It stops at 0: after four seconds at 1 GHz, of which less than a tenth is needed.
    let ticks = || u64::from(u32::MAX - read(register::CURRENT_COUNT));
    let per_ms = measured_khz(&SystemTime, &ticks);
    write(register::INITIAL_COUNT, 0);
    let per_ms = u32::try_from(per_ms.ok_or(TimerStands)?).unwrap_or(u32::MAX);
    TICKS_PER_MS.store(per_ms, Ordering::Relaxed);
    Ok(())
}

/// Timer ticks in a millisecond; 0 in deadline mode.
pub(super) fn ticks_per_ms() -> u32 {
    TICKS_PER_MS.load(Ordering::Relaxed)
}

/// Arms this processor's timer to interrupt once, `delta_ns` from now, at TSC `deadline`.
pub(super) fn arm_timer(deadline: u64, delta_ns: u64) {
    if features::get().contains(Features::TSC_DEADLINE) {
        write(
            register::TIMER,
            TIMER_DEADLINE | u32::from(traps::VECTOR_TIMER),
        );
        // SAFETY: the register exists (feature). The fence keeps the memory-mapped write above in front
        // of it (Intel SDM volume 3, 12.5.4.1).
        unsafe {
            core::arch::x86_64::_mm_mfence();
            msr::write(msr::TSC_DEADLINE, deadline);
        }
        return;
    }
    let ticks = u128::from(delta_ns) * u128::from(ticks_per_ms()) / 1_000_000;
    write(register::DIVIDE, DIVIDE_BY_1);
    write(register::TIMER, u32::from(traps::VECTOR_TIMER));
    write(
        register::INITIAL_COUNT,
        u32::try_from(ticks).unwrap_or(u32::MAX).max(1),
    );
}
