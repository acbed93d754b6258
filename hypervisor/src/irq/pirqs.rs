//! The numbers by which a domain knows interrupts.

use super::error::IrqError;
use super::lines::Irq;
use crate::sync::{Lock, const_unless_modelled, rank};
use alloc::collections::BTreeMap;

extern crate alloc;

/// Numbers below this are kept for lines with the same number, of ISA.
const FIRST_FREE: u32 = 16;

/// What a number stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pirq {
    /// Promised to the domain, for something that it will map.
    Reserved,
    /// An interrupt.
    Mapped(Irq),
}

/// A domain's numbers.
///
/// Lines have the number of their global system interrupt unless the domain wishes another; messages have the lowest free
/// number above all of those.
pub struct Pirqs {
    /// Numbers are below this.
    limit: u32,
    nr_gsis: u32,
    map: Lock<BTreeMap<u32, Pirq>, { rank::PIRQS }>,
}

impl Pirqs {
    const_unless_modelled! {
        /// No numbers in use.
        pub fn new(nr_gsis: u32, limit: u32) -> Self {
            Self {
                limit,
                nr_gsis,
                map: Lock::new(BTreeMap::new()),
            }
        }
    }

    /// Numbers are below this.
    #[must_use]
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// What `pirq` stands for.
    #[must_use]
    pub fn get(&self, pirq: u32) -> Option<Pirq> {
        self.map.lock().get(&pirq).copied()
    }

    /// The interrupt that `pirq` stands for.
    #[must_use]
    pub fn irq(&self, pirq: u32) -> Option<Irq> {
        match self.get(pirq)? {
            Pirq::Mapped(irq) => Some(irq),
            Pirq::Reserved => None,
        }
    }

    /// Does `work` with the interrupt that `pirq` stands for. No number is taken away or given meanwhile.
    pub fn with_irq<R>(&self, pirq: u32, work: impl FnOnce(Irq) -> R) -> Option<R> {
        match self.map.lock().get(&pirq)? {
            &Pirq::Mapped(irq) => Some(work(irq)),
            Pirq::Reserved => None,
        }
    }

    /// All interrupts that have a number.
    pub fn for_each(&self, mut with: impl FnMut(u32, Irq)) {
        // By number, so that the lock is not held over the work.
        let mut next = 0;
        loop {
            let found = self
                .map
                .lock()
                .range(next..)
                .next()
                .map(|(&pirq, &what)| (pirq, what));
            let Some((pirq, what)) = found else { return };
            if let Pirq::Mapped(irq) = what {
                with(pirq, irq);
            }
            next = pirq + 1;
        }
    }

    /// The lowest free number for a line or for a message.
    fn lowest_free(map: &BTreeMap<u32, Pirq>, from: u32, to: u32) -> Option<u32> {
        (from..to).find(|pirq| !map.contains_key(pirq))
    }

    /// Keeps a number for something that is mapped later: a message, or a line.
    pub fn reserve(&self, for_message: bool) -> Result<u32, IrqError> {
        let (from, to) = if for_message {
            (self.nr_gsis, self.limit)
        } else {
            (FIRST_FREE, self.nr_gsis)
        };
        let mut map = self.map.lock();
        let pirq = Self::lowest_free(&map, from, to).ok_or(IrqError::NoRoom)?;
        map.insert(pirq, Pirq::Reserved);
        Ok(pirq)
    }

    /// Gives `irq`, a line, the number `wanted`, or one that suits it. A line that has a number keeps it: asking for
    /// that or for any is answered with it, asking for another is refused.
    pub fn map_line(&self, irq: Irq, wanted: Option<u32>) -> Result<u32, IrqError> {
        if wanted.is_some_and(|wanted| wanted >= self.limit) {
            return Err(IrqError::Invalid);
        }
        let mut map = self.map.lock();
        let present = map
            .iter()
            .find(|&(_, &what)| what == Pirq::Mapped(irq))
            .map(|(&pirq, _)| pirq);
        match (present, wanted) {
            (Some(pirq), None) => return Ok(pirq),
            (Some(pirq), Some(wanted)) if wanted == pirq => return Ok(pirq),
            (Some(_), Some(_)) => return Err(IrqError::InUse),
            (None, _) => {}
        }
        let identity = u32::from(irq.0);
        let pirq = match wanted {
            Some(wanted) => wanted,
            None if !map.contains_key(&identity) => identity,
            None => Self::lowest_free(&map, FIRST_FREE, self.nr_gsis).ok_or(IrqError::NoRoom)?,
        };
        Self::put(&mut map, pirq, irq)?;
        Ok(pirq)
    }

    /// Gives `irq`, a message that has no number, the number `wanted`, or the lowest that is free.
    pub fn map_message(&self, irq: Irq, wanted: Option<u32>) -> Result<u32, IrqError> {
        let mut map = self.map.lock();
        let pirq = match wanted {
            Some(wanted) if wanted >= self.limit => return Err(IrqError::Invalid),
            Some(wanted) => wanted,
            None => Self::lowest_free(&map, self.nr_gsis, self.limit).ok_or(IrqError::NoRoom)?,
        };
        Self::put(&mut map, pirq, irq)?;
        Ok(pirq)
    }

    fn put(map: &mut BTreeMap<u32, Pirq>, pirq: u32, irq: Irq) -> Result<(), IrqError> {
        match map.get(&pirq) {
            Some(Pirq::Mapped(_)) => Err(IrqError::InUse),
            Some(Pirq::Reserved) | None => {
                map.insert(pirq, Pirq::Mapped(irq));
                Ok(())
            }
        }
    }

    /// Forgets a number, and does `free` if it stands for an interrupt, to which nobody gives another number meanwhile; what it stood for.
    pub fn unmap_with(&self, pirq: u32, free: impl FnOnce(Irq)) -> Option<Pirq> {
        let mut map = self.map.lock();
        let what = map.remove(&pirq)?;
        if let Pirq::Mapped(irq) = what {
            free(irq);
        }
        Some(what)
    }
}
