//! The last hypercalls of each processor, for whoever has to find out what a guest was doing.
//!
//! Each entry is a few relaxed stores by its own processor. A reader on another one may see an entry half old
//! and half new: it is a hint, not evidence.

#![forbid(unsafe_code)]

use crate::arch::processors;
use core::fmt;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use guest_abi::hypercall::Hypercall;
use guest_abi::ids::{DomId, VcpuId};

/// Calls that are kept for each processor.
const KEPT: usize = 16;
/// Processors whose calls are kept.
const PROCESSORS: usize = 64;

struct Entry {
    /// Number in bits 0 to 31, domain in bits 32 to 47, vCPU in bits 48 to 63.
    call: AtomicU64,
    first: AtomicU64,
    second: AtomicU64,
}

struct History {
    /// Calls so far; wraps.
    count: AtomicU32,
    entries: [Entry; KEPT],
}

static ALL: [History; PROCESSORS] = [const {
    History {
        count: AtomicU32::new(0),
        entries: [const {
            Entry {
                call: AtomicU64::new(0),
                first: AtomicU64::new(0),
                second: AtomicU64::new(0),
            }
        }; KEPT],
    }
}; PROCESSORS];

/// Notes a call that processor `cpu` is about to do.
#[inline]
pub(super) fn note(cpu: u32, domain: DomId, vcpu: VcpuId, number: u64, arguments: [u64; 2]) {
    let Some(history) = ALL.get(cpu as usize) else {
        return;
    };
    let count = history.count.load(Ordering::Relaxed);
    if let Some(entry) = history.entries.get(count as usize % KEPT) {
        let call = number & 0xffff_ffff | u64::from(domain.0) << 32 | u64::from(vcpu.0) << 48;
        entry.call.store(call, Ordering::Relaxed);
        entry.first.store(arguments[0], Ordering::Relaxed);
        entry.second.store(arguments[1], Ordering::Relaxed);
    }
    history
        .count
        .store(count.wrapping_add(1), Ordering::Relaxed);
}

/// Says what the last calls were, the newest first.
pub(crate) fn report(mut say: impl FnMut(fmt::Arguments<'_>)) {
    for (cpu, history) in (0..=processors::highest()).zip(&ALL) {
        let count = history.count.load(Ordering::Relaxed);
        say(format_args!(
            "Hypercalls on CPU{cpu}, {count} so far, the newest first:"
        ));
        for back in 1..=count.min(KEPT as u32) {
            let index = count.wrapping_sub(back) as usize % KEPT;
            let Some(entry) = history.entries.get(index) else {
                continue;
            };
            let call = entry.call.load(Ordering::Relaxed);
            let number = call & 0xffff_ffff;
            let name = Name(number);
            say(format_args!(
                "  d{}v{}: {name}({:#x}, {:#x}, ...)",
                call >> 32 & 0xffff,
                call >> 48,
                entry.first.load(Ordering::Relaxed),
                entry.second.load(Ordering::Relaxed),
            ));
        }
    }
}

/// The name of a hypercall.
struct Name(u64);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Hypercall::try_from(self.0) {
            Ok(known) => write!(f, "{known:?}"),
            Err(_) => write!(f, "number {}", self.0),
        }
    }
}
