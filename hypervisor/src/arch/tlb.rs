//! Translation buffers: the flush clock, and flushing other processors.
//!
//! The clock advances before each flush, and a processor writes down the clock's value that it saw before
//! it flushed. A processor that runs no guest is on the hypervisor's own root and flushes when it leaves it,
//! so it is never asked.

use super::percpu::{self, MAX_CPUS};
use super::{apic, smp, traps};
use crate::mm::tlb::FlushStamp;
use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// Advances with each flush.
static CLOCK: AtomicU32 = AtomicU32::new(1);
/// Clock value of each processor's latest full flush.
static FLUSHED: [AtomicU32; MAX_CPUS] = [const { AtomicU32::new(0) }; MAX_CPUS];
/// Processors that have a guest's root loaded.
static IN_GUEST: [AtomicBool; MAX_CPUS] = [const { AtomicBool::new(false) }; MAX_CPUS];
/// How often each processor was asked to flush.
static ASKED: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];
/// How many of these requests each processor has met. Two processors may ask a third one at the same time:
/// with mere flags, the answer to one would also take back the other's request.
static MET: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];

/// The clock now, read after everything before.
pub(super) fn stamp() -> FlushStamp {
    core::sync::atomic::fence(Ordering::SeqCst);
    FlushStamp(CLOCK.load(Ordering::SeqCst))
}

/// Forgets all translations of this processor, global ones and paging-structure caches included.
pub(crate) fn flush_local() {
    let cpu = percpu::current_cpu() as usize;
    let now = CLOCK.fetch_add(1, Ordering::SeqCst).wrapping_add(1);
    let cr4: u64;
    // SAFETY: switching PGE off and on flushes everything (Intel SDM volume 3, 4.10.4.1).
    unsafe {
        asm!("mov {0}, cr4", out(reg) cr4, options(nomem, nostack, preserves_flags));
        asm!("mov cr4, {}", "mov cr4, {}", in(reg) cr4 & !(1 << 7), in(reg) cr4, options(nostack, preserves_flags));
    }
    if let Some(flushed) = FLUSHED.get(cpu) {
        flushed.store(now, Ordering::SeqCst);
    }
}

/// Notes that this processor has just loaded a root with a full flush.
pub(super) fn note_flush() {
    let now = CLOCK.fetch_add(1, Ordering::SeqCst);
    if let Some(flushed) = FLUSHED.get(percpu::current_cpu() as usize) {
        flushed.store(now, Ordering::SeqCst);
    }
}

/// A guest's root is loaded on this processor from here on, or no longer.
pub(super) fn set_in_guest(is_in: bool) {
    if let Some(flag) = IN_GUEST.get(percpu::current_cpu() as usize) {
        flag.store(is_in, Ordering::SeqCst);
    }
}

/// Forgets the translation of one page on this processor.
pub(crate) fn flush_page_local(address: u64) {
    // SAFETY: forgetting a translation is always right.
    unsafe { asm!("invlpg [{}]", in(reg) address, options(nostack, preserves_flags)) };
}

/// The interrupt by which another processor asks for a flush.
pub(super) fn flush_asked() {
    let cpu = percpu::current_cpu() as usize;
    if let (Some(asked), Some(met)) = (ASKED.get(cpu), MET.get(cpu)) {
        let asked = asked.load(Ordering::SeqCst);
        if met.load(Ordering::SeqCst) < asked {
            flush_local();
            // The interrupt may have come in the middle of this, and met more.
            met.fetch_max(asked, Ordering::SeqCst);
        }
    }
}

/// Makes every processor for which `is_wanted` holds and that has a guest's root loaded flush everything, and
/// waits until they have. Interrupts must be on, or the processors that wait for each other would wait for
/// ever; the loop answers requests of others itself all the same.
fn flush_where(is_wanted: impl Fn(u32) -> bool) {
    let me = percpu::current_cpu();
    let mut asked_any = false;
    for (cpu, apic_id) in smp::online() {
        if !is_wanted(cpu) {
            continue;
        }
        if cpu == me {
            flush_local();
            continue;
        }
        if !IN_GUEST[cpu as usize].load(Ordering::SeqCst) {
            continue;
        }
        ASKED[cpu as usize].fetch_add(1, Ordering::SeqCst);
        apic::send(apic_id, apic::Message::Interrupt(traps::VECTOR_FLUSH));
        asked_any = true;
    }
    if !asked_any {
        return;
    }
    // What others have asked for is waited for as well: simpler than to remember whom we asked.
    for (cpu, _) in smp::online().filter(|&(cpu, _)| cpu != me) {
        let (asked, met) = (&ASKED[cpu as usize], &MET[cpu as usize]);
        let asked = asked.load(Ordering::SeqCst);
        while met.load(Ordering::SeqCst) < asked {
            // Another processor may wait for us in the same way with its interrupts off.
            flush_asked();
            core::hint::spin_loop();
        }
    }
}

/// Flushes the processors that have not flushed since `stamp`.
pub(super) fn flush_since(stamp: FlushStamp) {
    flush_where(|cpu| {
        let last = FlushStamp(FLUSHED[cpu as usize].load(Ordering::SeqCst));
        !last.is_after(stamp)
    });
}

/// Flushes these processors and waits.
pub(crate) fn flush(is_wanted: impl Fn(u32) -> bool) {
    flush_where(is_wanted);
}
