//! Stopping the world: all processors meet at a point where none of them is in the middle of anything, and
//! one of them does what can only be done then.
//!
//! The point is [`scheduler::work`](super::scheduler), to which every processor comes soon when it is asked:
//! on its way to a guest, between the pieces of long work, or out of idle sleep. It holds no lock there. While a
//! processor waits for the others it goes on answering requests to flush, because one that has not arrived yet may be
//! waiting for the answer.

use super::percpu::CpuInfo;
use super::{scheduler, smp, tlb};
use crate::domain::audit::{self, Census};
use crate::domain::shutdown;
use crate::lock::IrqLock;
use core::sync::atomic::{AtomicU32, Ordering};

/// What is to be done at the meeting, as bits.
mod work {
    /// The frame table is audited.
    pub(super) const AUDIT: u32 = 1;
    /// Then the machine ends, because the first domain has.
    pub(super) const END: u32 = 2;
}

/// What is wanted; 0 when no meeting is called.
static WANTED: AtomicU32 = AtomicU32::new(0);
/// Processors that have arrived.
static PRESENT: AtomicU32 = AtomicU32::new(0);
/// Meetings that are over.
static OVER: AtomicU32 = AtomicU32::new(0);
/// What the arrived processors hold that nobody else can see.
static CENSUS: IrqLock<Census> = IrqLock::new(Census::new());

fn call(work: u32) {
    WANTED.fetch_or(work, Ordering::SeqCst);
    scheduler::poke_all();
}

/// Has the frame table audited soon. From anywhere, interrupt handlers included.
pub(crate) fn audit_frames() {
    if scheduler::is_started() {
        call(work::AUDIT);
    } else {
        log::warn!("the frame table is audited when guests run, not before");
    }
}

/// Has the frame table audited and then the machine ended, as the first domain has asked for.
pub(crate) fn audit_frames_and_end() {
    call(work::AUDIT | work::END);
}

/// Called by each processor, interrupts off, whenever it looks for work: stays until the meeting is over, if
/// one is called.
pub(super) fn attend(info: &CpuInfo) {
    if WANTED.load(Ordering::SeqCst) == 0 {
        return;
    }
    // Nothing ends or begins before this processor has arrived, too.
    let over = OVER.load(Ordering::SeqCst);
    if let Some(running) = info.running.as_ref().or(info.parked.as_ref()) {
        // Whoever adds to it may need memory, and wait for us to flush before it is had.
        let mut census = loop {
            if let Some(census) = CENSUS.try_lock() {
                break census;
            }
            tlb::flush_asked();
            core::hint::spin_loop();
        };
        census.add_context(&running.context);
    }
    let present = PRESENT.fetch_add(1, Ordering::SeqCst) + 1;
    if present as usize != smp::online().count() {
        while OVER.load(Ordering::SeqCst) == over {
            tlb::flush_asked();
            core::hint::spin_loop();
        }
        return;
    }
    let wanted = WANTED.swap(0, Ordering::SeqCst);
    let census = core::mem::replace(&mut *CENSUS.lock(), Census::new());
    if wanted & work::AUDIT != 0 {
        audit::run(census);
    }
    if wanted & work::END != 0 {
        shutdown::end_machine();
    }
    PRESENT.store(0, Ordering::SeqCst);
    OVER.fetch_add(1, Ordering::SeqCst);
}
