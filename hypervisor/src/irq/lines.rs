//! All sources of interrupts of the machine.

use super::error::IrqError;
use super::hardware::{Hardware, Signal};
use super::line::{Arrival, Line, Owner, Tools};
use super::vectors::{Route, Vectors};
use crate::lock::IrqLock;
use crate::sync::rank;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

extern crate alloc;

/// Number of a source: the global system interrupt of a line, and above those the places of messages.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Irq(pub u16);

/// All sources, the vectors they use, and the hardware they are programmed in.
pub struct Lines<H, O> {
    lines: Vec<IrqLock<Line<O>, { rank::INTERRUPT_LINE }>>,
    /// Global system interrupts are below this.
    nr_gsis: u16,
    processors: u32,
    vectors: Vectors,
    hardware: H,
    /// Lines that rest, a bit each; changed with the line's lock held.
    resting: Box<[AtomicU64]>,
    /// When the next of them is to be looked at.
    next_wake_ns: AtomicU64,
}

/// No line rests.
const NEVER: u64 = u64::MAX;

impl<H: Hardware, O: Owner> Lines<H, O> {
    /// Every line that `signal_of` knows, by its global system interrupt below `nr_gsis`, and places for `messages` messages.
    pub fn new(
        hardware: H,
        processors: u32,
        nr_gsis: u16,
        messages: u16,
        signal_of: impl Fn(u16) -> Option<Signal>,
    ) -> Self {
        let line = |number| match signal_of(number).filter(|_| number < nr_gsis) {
            Some(signal) => Line::pin(Irq(number), signal),
            None => Line::unused(Irq(number)),
        };
        Self {
            lines: (0..nr_gsis.saturating_add(messages))
                .map(|number| IrqLock::new(line(number)))
                .collect(),
            nr_gsis,
            processors,
            vectors: Vectors::new(processors),
            hardware,
            resting: (0..nr_gsis.saturating_add(messages).div_ceil(64))
                .map(|_| AtomicU64::new(0))
                .collect(),
            next_wake_ns: AtomicU64::new(NEVER),
        }
    }

    /// Global system interrupts are below this.
    #[must_use]
    pub const fn nr_gsis(&self) -> u16 {
        self.nr_gsis
    }

    /// The hardware.
    #[must_use]
    pub const fn hardware(&self) -> &H {
        &self.hardware
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn vectors(&self) -> &Vectors {
        &self.vectors
    }

    #[cfg(test)]
    pub(super) fn look<R>(&self, irq: Irq, look: impl FnOnce(&Line<O>) -> R) -> Option<R> {
        self.lines
            .get(usize::from(irq.0))
            .map(|line| look(&line.lock()))
    }

    /// Does something to a line with its lock held.
    fn with<R>(
        &self,
        irq: Irq,
        work: impl FnOnce(&mut Line<O>, &Tools<'_, H>) -> R,
    ) -> Result<R, IrqError> {
        let line = self
            .lines
            .get(usize::from(irq.0))
            .ok_or(IrqError::Invalid)?;
        let tools = Tools {
            vectors: &self.vectors,
            hardware: &self.hardware,
        };
        Ok(work(&mut line.lock(), &tools))
    }

    /// The line with this global system interrupt.
    pub fn gsi(&self, gsi: u32) -> Result<Irq, IrqError> {
        let irq = u16::try_from(gsi)
            .ok()
            .filter(|&gsi| gsi < self.nr_gsis)
            .map(Irq)
            .ok_or(IrqError::Invalid)?;
        if self.with(irq, |line, _| line.exists())? {
            Ok(irq)
        } else {
            Err(IrqError::Invalid)
        }
    }

    /// The hypervisor takes a line for itself.
    pub fn keep(&self, gsi: u32) -> Result<(), IrqError> {
        self.with(self.gsi(gsi)?, |line, _| line.keep())
    }

    /// Sets how a line signals: once, and before it is bound.
    pub fn set_up(&self, gsi: u32, signal: Signal) -> Result<(), IrqError> {
        self.with(self.gsi(gsi)?, |line, tools| {
            line.set_up(tools.hardware, signal)
        })?
    }

    /// Finds a place for a message, calls `prepare` for it, which makes its registers known to the hardware, and programs them.
    pub fn add_message(
        &self,
        is_maskable: bool,
        cpu: u32,
        prepare: impl FnOnce(Irq),
    ) -> Result<Irq, IrqError> {
        let mut prepare = Some(prepare);
        for number in self.nr_gsis..self.lines.len() as u16 {
            let irq = Irq(number);
            let done = self.with(irq, |line, tools| {
                if line.exists() {
                    return None;
                }
                let prepare = prepare.take()?;
                prepare(irq);
                Some(line.put_message(tools, is_maskable, cpu, self.processors))
            })?;
            if let Some(result) = done {
                return result.map(|()| irq);
            }
        }
        Err(IrqError::NoRoom)
    }

    /// Takes a message away. It is not bound.
    pub fn remove_message(&self, irq: Irq) {
        // There is such a place, or there is nothing to do.
        let _ = self.with(irq, |line, tools| line.take_message(tools));
    }

    /// Programs a message's registers again.
    pub fn restore_message(&self, irq: Irq) {
        // As above.
        let _ = self.with(irq, |line, tools| line.restore_message(tools.hardware));
    }

    /// Reserves an interrupt for a port of `owner`; [`activate`](Self::activate) lets it through.
    pub fn bind(&self, irq: Irq, owner: O, pirq: u32, port: u32, cpu: u32) -> Result<(), IrqError> {
        self.with(irq, |line, tools| {
            line.bind(tools, (owner, pirq, port), cpu, self.processors)
        })?
    }

    /// Lets an interrupt through that is reserved for `port`.
    pub fn activate(&self, irq: Irq, port: u32) {
        // There is such a line, or there is nothing to do; so below.
        let _ = self.with(irq, |line, tools| line.activate(tools, port));
    }

    /// Takes an interrupt from `port`, or from whichever it is bound to. Says whether it was.
    pub fn unbind(&self, irq: Irq, port: Option<u32>) -> bool {
        let owner = self.with(irq, |line, tools| line.unbind(tools, port));
        matches!(owner, Ok(Some(_)))
    }

    /// The guest is done with an interrupt.
    pub fn end(&self, irq: Irq) {
        let _ = self.with(irq, |line, tools| line.end(tools));
    }

    /// Moves an interrupt to a processor, now or when it can be.
    pub fn retarget(&self, irq: Irq, cpu: u32) {
        let _ = self.with(irq, |line, tools| line.retarget(tools, cpu));
    }

    /// Whether the guest must say when it is done with each interrupt.
    #[must_use]
    pub fn needs_end(&self, irq: Irq) -> bool {
        self.with(irq, |line, _| line.needs_end()).unwrap_or(false)
    }

    /// An interrupt has come to processor `cpu` by `vector`. Ends it at the local APIC. If its source rests from now on,
    /// [`wake_due`](Self::wake_due) is to be called at the end of that.
    pub fn arrive(&self, cpu: u32, vector: u8, now_ns: u64) -> Arrival {
        let route = Route { cpu, vector };
        let arrival = self.vectors.find(route).and_then(|irq| {
            self.with(irq, |line, tools| {
                let arrival = line.arrive(tools, route, now_ns);
                if let Arrival::Rests(_, rest) = arrival {
                    self.mark_resting(irq, true);
                    self.next_wake_ns.fetch_min(rest.until_ns, Ordering::SeqCst);
                }
                arrival
            })
            .ok()
        });
        arrival.unwrap_or_else(|| {
            self.hardware.end_of_interrupt();
            Arrival::Nobodys
        })
    }

    fn mark_resting(&self, irq: Irq, rests: bool) {
        let bit = 1 << (irq.0 % 64);
        if let Some(word) = self.resting.get(usize::from(irq.0 / 64)) {
            if rests {
                word.fetch_or(bit, Ordering::SeqCst);
            } else {
                word.fetch_and(!bit, Ordering::SeqCst);
            }
        }
    }

    /// When [`wake_due`](Self::wake_due) is to be called next.
    #[must_use]
    pub fn next_wake_ns(&self) -> Option<u64> {
        let next = self.next_wake_ns.load(Ordering::SeqCst);
        (next != NEVER).then_some(next)
    }

    /// Lets all sources through again whose rest is over. From any processor.
    pub fn wake_due(&self, now_ns: u64) {
        if self.next_wake_ns.load(Ordering::SeqCst) > now_ns {
            return;
        }
        // Whoever begins to rest from here on sets it anew; the others are looked at below.
        self.next_wake_ns.store(NEVER, Ordering::SeqCst);
        for (index, word) in (0u16..).zip(&self.resting) {
            let mut bits = word.load(Ordering::SeqCst);
            while bits != 0 {
                let irq = Irq(index * 64 + bits.trailing_zeros() as u16);
                bits &= bits - 1;
                let later = self.with(irq, |line, tools| {
                    let later = line.wake(tools, now_ns);
                    if later.is_none() {
                        self.mark_resting(irq, false);
                    }
                    later
                });
                if let Ok(Some(until)) = later {
                    self.next_wake_ns.fetch_min(until, Ordering::SeqCst);
                }
            }
        }
    }
}
