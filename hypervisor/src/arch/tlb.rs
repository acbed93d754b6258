//! Translation buffers and caches: flushing this processor's, and asking others for it.
//!
//! Who must be asked, and when it is done, is decided by [`crate::mm::flush_clock`]. A processor that runs no
//! guest is on the hypervisor's own root and flushes when it loads another, so it is never asked.

use super::percpu::{self, MAX_CPUS};
use super::{apic, smp, traps};
use crate::mm::errand::Errand;
use crate::mm::flush_clock::{FlushClock, Processor};
use crate::mm::tlb::{FlushStamp, Suspects};
use core::arch::asm;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use guest_abi::ids::DomId;

/// In the image for the tests it begins half round: as if processors had run no guest while it came there.
static CLOCK: FlushClock = FlushClock::new(if cfg!(feature = "planted-faults") {
    0x8000_0100
} else {
    1
});
static PROCESSORS: [Processor; MAX_CPUS] = [const { Processor::new() }; MAX_CPUS];
/// How often each processor was asked for a flush by another.
static NR_ASKED: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];
/// Who is asked to write back its caches.
static WRITE_BACKS: [Errand; MAX_CPUS] = [const { Errand::new() }; MAX_CPUS];

fn processor(cpu: u32) -> &'static Processor {
    match PROCESSORS.get(cpu as usize) {
        Some(processor) => processor,
        None => unreachable!("CPU{cpu} of {MAX_CPUS}"),
    }
}

/// The clock now, read after everything before.
pub(super) fn stamp() -> FlushStamp {
    CLOCK.stamp()
}

/// Does `flush`, which makes this processor forget all translations, global ones and paging-structure caches
/// included.
pub(super) fn flushing(flush: impl FnOnce()) {
    let begun = CLOCK.begin();
    flush();
    processor(percpu::current_cpu()).end(begun);
    if begun.is_lap() {
        ask_suspects(stamp(), |_| true);
    }
}

/// Forgets all translations of this processor, global ones and paging-structure caches included.
pub(crate) fn flush_local() {
    flushing(|| {
        let cr4: u64;
        // SAFETY: switching PGE off and on flushes everything (Intel SDM volume 3, 4.10.4.1).
        unsafe {
            asm!("mov {0}, cr4", out(reg) cr4, options(nomem, nostack, preserves_flags));
            asm!("mov cr4, {}", "mov cr4, {}", in(reg) cr4 & !(1 << 7), in(reg) cr4, options(nostack, preserves_flags));
        }
    });
}

/// A root of `domain` is going to be loaded on this processor, with a flush.
pub(super) fn enter_guest(domain: DomId) {
    processor(percpu::current_cpu()).enter_guest(&CLOCK, domain);
}

/// The root is loaded and the flush done.
pub(super) fn left_guest() {
    processor(percpu::current_cpu()).left_guest();
}

/// No guest's root is loaded on this processor any more, and it has flushed since.
pub(super) fn leave_guest() {
    processor(percpu::current_cpu()).leave_guest();
}

/// Forgets the translation of one page on this processor.
pub(crate) fn flush_page_local(address: u64) {
    // SAFETY: forgetting a translation is always right.
    unsafe { asm!("invlpg [{}]", in(reg) address, options(nostack, preserves_flags)) };
}

/// The interrupt by which another processor asks for a flush.
pub(super) fn flush_asked() {
    let me = percpu::current_cpu();
    if processor(me).take_request() {
        flush_local();
        if let Some(count) = NR_ASKED.get(me as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
    if let Some(errand) = WRITE_BACKS.get(me as usize) {
        errand.serve(write_back_caches);
    }
}

/// How often each processor has flushed because another wanted it, in lines.
pub(super) fn report(mut line: impl FnMut(fmt::Arguments<'_>)) {
    for ((cpu, _), count) in smp::online().zip(&NR_ASKED) {
        let count = count.load(Ordering::Relaxed);
        line(format_args!("CPU{cpu}: {count} flushes for others"));
    }
}

/// Writes back and empties this processor's caches.
pub(crate) fn write_back_caches() {
    // SAFETY: no contents change.
    unsafe { asm!("wbinvd", options(nostack, preserves_flags)) };
}

/// Has every processor write back and empty its caches, and waits until all have. (Those of one core do it twice: what
/// they share is empty then, and the second time costs little.)
pub(crate) fn write_back_all_caches() {
    let me = percpu::current_cpu();
    let others = || {
        smp::online()
            .filter(|&(cpu, _)| cpu != me)
            .filter_map(|(cpu, apic_id)| Some((WRITE_BACKS.get(cpu as usize)?, apic_id)))
    };
    for (errand, apic_id) in others() {
        errand.ask();
        apic::send(apic_id, apic::Message::Interrupt(traps::VECTOR_FLUSH));
    }
    write_back_caches();
    for (errand, _) in others() {
        let request = errand.latest();
        // It may wait for us in the same way.
        while !errand.is_done(request) {
            flush_asked();
            core::hint::spin_loop();
        }
    }
}

/// Asks those other processors for a flush that may need one for what was done before `now` and for which
/// `is_wanted` holds.
fn ask_suspects(now: FlushStamp, is_wanted: impl Fn(u32) -> bool) {
    let me = percpu::current_cpu();
    for (cpu, apic_id) in smp::online().filter(|&(cpu, _)| cpu != me && is_wanted(cpu)) {
        if processor(cpu).is_suspect(now) {
            processor(cpu).ask();
            apic::send(apic_id, apic::Message::Interrupt(traps::VECTOR_FLUSH));
        }
    }
}

/// Makes every processor for which `is_wanted` holds and that has a guest's root loaded flush everything, and
/// waits until they have. A processor may wait for us in the same way with its interrupts off, so requests of
/// others are answered while waiting.
fn flush_where(is_wanted: impl Fn(u32) -> bool) {
    let now = stamp();
    ask_suspects(now, &is_wanted);
    let me = percpu::current_cpu();
    for (cpu, _) in smp::online().filter(|&(cpu, _)| is_wanted(cpu)) {
        if cpu == me {
            flush_local();
            continue;
        }
        while processor(cpu).is_suspect(now) {
            flush_asked();
            core::hint::spin_loop();
        }
    }
}

/// Flushes the suspects that have not flushed since `stamp`.
pub(super) fn flush_since(suspects: Suspects, stamp: FlushStamp) {
    flush_where(|cpu| {
        let processor = processor(cpu);
        let is_suspect = match suspects {
            Suspects::Everyone => true,
            Suspects::Domain(domain) => processor.runs(domain),
        };
        is_suspect && processor.is_suspect(stamp)
    });
}

/// Flushes every processor that may hold translations by the tables of `domain`, and waits.
pub(crate) fn flush_domain(domain: DomId) {
    flush_where(|cpu| processor(cpu).runs(domain));
}

/// Flushes those of these processors that may hold translations by the tables of `domain`, and waits.
pub(crate) fn flush(domain: DomId, is_wanted: impl Fn(u32) -> bool) {
    flush_where(|cpu| processor(cpu).runs(domain) && is_wanted(cpu));
}
