//! Which interrupt each vector of each processor is.
//!
//! A slot is one atomic word, so finding an interrupt's number takes no lock, and a slot is taken by one exchange.

use super::lines::Irq;
use crate::sync::atomic::{AtomicU16, Ordering};
use alloc::boxed::Box;

extern crate alloc;

/// First vector given to devices. Below are exceptions, and a gap in case one of them looks like an interrupt.
const FIRST: u8 = 0x30;
/// Last one. Above are the 8259s' spurious ones and the hypervisor's own.
const LAST: u8 = 0xdf;
/// A gate that guests use.
const GUEST_GATE: u8 = 0x80;
const FREE: u16 = 0;

/// A slot that is taken: a processor, and a vector on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route {
    /// Number of the processor.
    pub cpu: u32,
    /// Vector on it.
    pub vector: u8,
}

/// The vectors of all processors.
pub struct Vectors {
    /// For each processor and vector: `FREE`, or the interrupt's number plus 1.
    slots: Box<[[AtomicU16; 256]]>,
}

impl Vectors {
    /// All free, for processors below `processors`.
    #[must_use]
    pub fn new(processors: u32) -> Self {
        Self {
            slots: (0..processors)
                .map(|_| core::array::from_fn(|_| AtomicU16::new(FREE)))
                .collect(),
        }
    }

    fn slot(&self, route: Route) -> Option<&AtomicU16> {
        self.slots
            .get(route.cpu as usize)?
            .get(usize::from(route.vector))
    }

    /// The interrupt that `route` belongs to.
    #[must_use]
    pub fn find(&self, route: Route) -> Option<Irq> {
        let word = self.slot(route)?.load(Ordering::Acquire);
        word.checked_sub(1).map(Irq)
    }

    /// Takes this very slot for `irq`; says whether it was free.
    #[must_use]
    pub fn take(&self, route: Route, irq: Irq) -> bool {
        let may_be_given = (FIRST..=LAST).contains(&route.vector) && route.vector != GUEST_GATE;
        let (Some(word), Some(slot)) = (irq.0.checked_add(1), self.slot(route)) else {
            return false;
        };
        may_be_given
            && slot
                .compare_exchange(FREE, word, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
    }

    /// Takes any free slot of processor `cpu`. Where it looks first depends on `irq`: moving to another processor with the
    /// same vector is then likely to be possible.
    #[must_use]
    pub fn allocate(&self, cpu: u32, irq: Irq) -> Option<Route> {
        const COUNT: u16 = (LAST - FIRST) as u16 + 1;
        (0..COUNT)
            .map(|step| FIRST + ((irq.0 % COUNT + step) % COUNT) as u8)
            .map(|vector| Route { cpu, vector })
            .find(|&route| self.take(route, irq))
    }

    /// Frees a slot.
    pub fn free(&self, route: Route) {
        if let Some(slot) = self.slot(route) {
            slot.store(FREE, Ordering::Release);
        }
    }

    /// Number of slots that are taken.
    #[cfg(any(test, fuzzing))]
    pub fn taken(&self) -> usize {
        self.slots
            .iter()
            .flatten()
            .filter(|slot| slot.load(Ordering::Relaxed) != FREE)
            .count()
    }
}
