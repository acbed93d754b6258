//! The watchdog: finds a processor that is stuck with interrupts off.
//!
//! Each processor's own timer ticks once a second and counts. The PIT fires twenty times a second, and its
//! line is routed to the first processor as an NMI, which gets through when interrupts do not; the first processor
//! passes it on to the others that run. A processor that
//! sees in its NMI that its count has not moved for the time allowed says where it is stuck, and the
//! machine dies of it.
//!
//! A processor that is dead takes no NMI either, so it can't say anything. The first processor looks, in its
//! own NMI, for others that have taken none for a while; the others look, when their timers tick, whether the
//! first one has.

use super::percpu::{self, MAX_CPUS};
use super::traps::TrapFrame;
use super::{apic, clock, death, ioapic, port, scheduler, smp};
use crate::registers::rflags;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

const TICK_NS: u64 = 1_000_000_000;
/// NMIs in a second.
const CHECK_HZ: u64 = 20;
/// Rate of the PIT.
const PIT_HZ: u64 = 1_193_182;

static IS_ON: AtomicBool = AtomicBool::new(false);
/// How many checks in a row may find the count unmoved.
static PATIENCE: AtomicU32 = AtomicU32::new(0);
/// Timer ticks of each processor.
static BEATS: [AtomicU32; MAX_CPUS] = [const { AtomicU32::new(0) }; MAX_CPUS];
/// When each processor's timer is to fire for the watchdog, ns; touched by that processor alone.
static NEXT_BEAT: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];
/// NMIs that each processor has taken since the watchdog is on.
static NMIS: [AtomicU32; MAX_CPUS] = [const { AtomicU32::new(0) }; MAX_CPUS];
/// What the first processor saw of another's [`NMIS`], as in [`SEEN`]; touched only in its NMI.
static NMIS_SEEN: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];
/// What each processor saw of the first one's [`NMIS`], as in [`SEEN`]; touched only when its timer ticks.
static FIRST_SEEN: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];
/// When each processor looks at the first one next, ns.
static NEXT_LOOK: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];
/// How much longer than a stuck processor a dead one is waited for, s: one that can speak for itself says more.
const DEAD_MARGIN_S: u32 = 2;
/// Beats last seen by the check (low half) and how often in a row (high half); touched only in the NMI of
/// the processor itself.
static SEEN: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];

/// Arms this processor's timer for its next beat.
fn arm() {
    if let Some(next) = next_beat() {
        let delta = next.saturating_sub(clock::now_ns()).max(1000);
        let deadline = super::msr::tsc().wrapping_add(clock::ns_to_ticks(delta));
        apic::arm_timer(deadline, delta);
    }
}

/// Switches the watchdog on for the whole machine. `gsi` is the interrupt line of the PIT; `timeout_s` how
/// long a processor may take no timer interrupt. `false` if the line has no IO-APIC.
pub(super) fn start(gsi: u32, timeout_s: u32) -> bool {
    PATIENCE.store(timeout_s.saturating_mul(CHECK_HZ as u32), Ordering::Relaxed);
    IS_ON.store(true, Ordering::Release);
    arm();
    let divisor = PIT_HZ.div_ceil(CHECK_HZ).min(u64::from(u16::MAX));
    // SAFETY: channel 0 of the PIT is nobody else's: a rate generator from here on.
    unsafe {
        port::write_u8(0x43, 0b0011_0100);
        port::write_u8(0x40, divisor as u8);
        port::write_u8(0x40, (divisor >> 8) as u8);
    }
    if !ioapic::route_as_nmi(gsi, apic::id()) {
        IS_ON.store(false, Ordering::Release);
        return false;
    }
    // The others begin to tick.
    smp::wake_others();
    true
}

/// How often in a row `seen`, which this updates, has found `count` unmoved.
fn unmoved(seen: &AtomicU64, count: &AtomicU32) -> u32 {
    let now = u64::from(count.load(Ordering::Relaxed));
    let last = seen.load(Ordering::Relaxed);
    if last & 0xffff_ffff == now {
        seen.store(last + (1 << 32), Ordering::Relaxed);
        (last >> 32) as u32 + 1
    } else {
        seen.store(now, Ordering::Relaxed);
        0
    }
}

/// Looks on the first processor, in its NMI, for others that are dead.
fn find_dead(frame: &TrapFrame) {
    let limit = PATIENCE.load(Ordering::Relaxed) + DEAD_MARGIN_S * CHECK_HZ as u32;
    for (cpu, _) in smp::online().filter(|&(cpu, _)| cpu != 0) {
        let (Some(seen), Some(nmis)) = (NMIS_SEEN.get(cpu as usize), NMIS.get(cpu as usize)) else {
            continue;
        };
        if unmoved(seen, nmis) > limit {
            die_of_dead(cpu, limit / CHECK_HZ as u32, Some(frame));
        }
    }
}

/// Looks on another processor, when its timer has ticked, whether the first one is dead. Once a second,
/// however often the timer ticks.
fn check_first(cpu: usize) {
    let (Some(next), Some(seen)) = (NEXT_LOOK.get(cpu), FIRST_SEEN.get(cpu)) else {
        return;
    };
    let now = clock::now_ns();
    if cpu == 0 || now < next.load(Ordering::Relaxed) {
        return;
    }
    next.store(now + TICK_NS, Ordering::Relaxed);
    let limit_s = PATIENCE.load(Ordering::Relaxed) / CHECK_HZ as u32 + DEAD_MARGIN_S;
    if unmoved(seen, &NMIS[0]) > limit_s {
        die_of_dead(0, limit_s, None);
    }
}

fn die_of_dead(cpu: u32, for_s: u32, frame: Option<&TrapFrame>) -> ! {
    death::die(
        format_args!(
            "watchdog: CPU{cpu} is dead: for {for_s} s it has not even taken a non-maskable interrupt"
        ),
        frame,
    )
}

/// Keeps this processor's timer ticking while it runs no scheduler yet.
pub(super) fn keep_ticking() {
    if IS_ON.load(Ordering::Acquire) {
        arm();
    }
}

/// The timer has fired.
pub(super) fn heartbeat() {
    let cpu = percpu::current_cpu() as usize;
    if let Some(beats) = BEATS.get(cpu) {
        beats.fetch_add(1, Ordering::Relaxed);
    }
    if IS_ON.load(Ordering::Relaxed) {
        check_first(cpu);
        if !scheduler::is_started() {
            arm();
        }
    }
}

/// When this processor's timer must fire next, ns of system time; `None` if the watchdog does not care. The
/// moment stays the same until the timer has fired, however often it is armed anew meanwhile.
pub(super) fn next_beat() -> Option<u64> {
    if !IS_ON.load(Ordering::Relaxed) {
        return None;
    }
    let next = NEXT_BEAT.get(percpu::current_cpu() as usize)?;
    let now = clock::now_ns();
    if next.load(Ordering::Relaxed) <= now {
        next.store(now + TICK_NS, Ordering::Relaxed);
    }
    Some(next.load(Ordering::Relaxed))
}

/// Timer interrupts that processor `cpu` has taken.
pub(super) fn beats(cpu: u32) -> u32 {
    BEATS
        .get(cpu as usize)
        .map_or(0, |beats| beats.load(Ordering::Relaxed))
}

/// Whether an NMI was the watchdog's. Dies if it finds this processor stuck.
pub(super) fn accepts_nmi(frame: &TrapFrame) -> bool {
    if !IS_ON.load(Ordering::Acquire) {
        return false;
    }
    let cpu = percpu::current_cpu();
    if let Some(nmis) = NMIS.get(cpu as usize) {
        nmis.fetch_add(1, Ordering::Relaxed);
    }
    if cpu == 0 {
        find_dead(frame);
        for (_, apic_id) in smp::online().filter(|&(other, _)| other != 0) {
            apic::send_from_nmi(apic_id, apic::Message::Nmi);
        }
    }
    let Some(seen) = SEEN.get(cpu as usize) else {
        return true;
    };
    if frame.rflags & rflags::INTERRUPT != 0 {
        // It takes interrupts; whatever is late is not stuck here.
        seen.store(u64::from(beats(cpu)), Ordering::Relaxed);
        return true;
    }
    let now = u64::from(beats(cpu));
    let last = seen.load(Ordering::Relaxed);
    if last & 0xffff_ffff != now {
        seen.store(now, Ordering::Relaxed);
        return true;
    }
    let times = last >> 32;
    seen.store(last + (1 << 32), Ordering::Relaxed);
    if times >= u64::from(PATIENCE.load(Ordering::Relaxed)) {
        death::die(
            format_args!(
                "watchdog: CPU{cpu} has been stuck with interrupts off for {} s",
                times / CHECK_HZ
            ),
            Some(frame),
        );
    }
    true
}
