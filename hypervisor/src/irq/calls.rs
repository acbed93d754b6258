//! Calls of a domain about its physical interrupts, read from bytes: the fuzzer's way into this room.
//!
//! Between them devices raise interrupts, processors take them and drivers do their work. The numbers that the domain
//! knows and the sources that there are stay one to one, nothing is lost or storms, and no vector leaks.

use super::lines::{Irq, Lines};
use super::model::{Guest, LEVELS, MESSAGES, Machine, PROCESSORS};
use super::pirqs::{Pirq, Pirqs};
use super::{IrqError, Signal};
use std::collections::BTreeSet;
use std::vec::Vec;

/// Calls of one run at the most.
const MAX_CALLS: usize = 400;
/// Numbers that the domain may use: more than there are places for messages.
const LIMIT: u32 = MESSAGES.end as u32 + 12;

struct Run {
    machine: Machine,
    lines: Lines<Machine, Guest>,
    pirqs: Pirqs,
    /// Sources that are bound to a port.
    bound: BTreeSet<u16>,
    /// Places that hold a message.
    messages: BTreeSet<u16>,
    set_up: BTreeSet<u16>,
}

/// Makes the calls that `bytes` say.
///
/// # Panics
/// A rule is broken.
pub fn run(bytes: &[u8]) {
    let machine = Machine::new();
    let mut run = Run {
        lines: machine.lines(),
        machine,
        pirqs: Pirqs::new(MESSAGES.start.into(), LIMIT),
        bound: BTreeSet::new(),
        messages: BTreeSet::new(),
        set_up: BTreeSet::new(),
    };
    for bytes in bytes.chunks_exact(3).take(MAX_CALLS) {
        if let &[which, a, b] = bytes {
            run.step(which, a, b);
            run.check();
        }
    }
    run.end();
}

/// A number that is mostly one of those that exist, and sometimes far from it.
fn number(byte: u8) -> u32 {
    match byte {
        0..240 => u32::from(byte) % (LIMIT + 2),
        _ => u32::MAX << (byte % 32),
    }
}

/// The port that a source is bound to, as the model wants it.
fn port(irq: Irq) -> u32 {
    u32::from(irq.0) + 100
}

impl Run {
    fn step(&mut self, which: u8, a: u8, b: u8) {
        let wanted = (b & 3 == 0).then(|| number(b >> 2));
        let any = Irq(u16::from(a) % (MESSAGES.end + 1));
        match which % 16 {
            0 | 1 => {
                if let Ok(irq) = self.lines.gsi(number(a)) {
                    let _ = self.pirqs.map_line(irq, wanted);
                }
            }
            2 | 3 => self.map_message(u32::from(a) % (PROCESSORS + 1), wanted),
            4 => {
                let _ = self.pirqs.reserve(a & 1 != 0);
            }
            5 => self.unmap(number(a)),
            6 | 7 => self.bind(number(a), u32::from(b) % (PROCESSORS + 1)),
            8 => self.unbind(number(a)),
            9 => self.set_up(number(a)),
            10 => {
                if let Some(irq) = self.pirqs.irq(number(a)) {
                    self.machine.end_early(&self.lines, irq);
                }
            }
            11 => self.lines.retarget(any, u32::from(b) % (PROCESSORS + 2)),
            12 => self.lines.restore_message(any),
            13 => {
                self.machine.deliver(&self.lines, u32::from(a) % PROCESSORS);
            }
            14 => {
                if self.bound.contains(&any.0) {
                    self.machine.raise(any);
                }
            }
            _ => {
                if any.0 < MESSAGES.end {
                    self.machine.handle(&self.lines, any);
                }
            }
        }
    }

    fn map_message(&mut self, cpu: u32, wanted: Option<u32>) {
        let Some(place) = MESSAGES
            .clone()
            .find(|place| !self.messages.contains(place))
        else {
            let none = self.lines.add_message(true, cpu, |_| ());
            assert_eq!(none, Err(IrqError::NoRoom));
            return;
        };
        let mut prepared = None;
        let is_maskable = Machine::is_maskable(place);
        let added = self
            .lines
            .add_message(is_maskable, cpu, |irq| prepared = Some(irq));
        assert_eq!((added, prepared), (Ok(Irq(place)), Some(Irq(place))));
        if self.pirqs.map_message(Irq(place), wanted).is_ok() {
            self.messages.insert(place);
        } else {
            self.lines.remove_message(Irq(place));
        }
    }

    fn unmap(&mut self, pirq: u32) {
        let (lines, bound) = (&self.lines, &mut self.bound);
        let unmapped = self.pirqs.unmap_with(pirq, |irq| {
            assert_eq!(lines.unbind(irq, None), bound.remove(&irq.0));
        });
        let Some(Pirq::Mapped(irq)) = unmapped else {
            return;
        };
        if MESSAGES.contains(&irq.0) {
            self.lines.remove_message(irq);
            assert!(self.messages.remove(&irq.0));
        }
        self.machine.abandon(irq);
    }

    fn bind(&mut self, pirq: u32, cpu: u32) {
        let Some(irq) = self.pirqs.irq(pirq) else {
            return;
        };
        let guest = Guest(self.machine.clone());
        let bound = self.lines.bind(irq, guest, irq.0.into(), port(irq), cpu);
        if self.bound.contains(&irq.0) {
            assert_eq!(bound, Err(IrqError::InUse));
        } else {
            assert_eq!(bound, Ok(()));
            // Not by a port that it is not bound to.
            self.lines.activate(irq, port(irq) + 1);
            assert!(self.machine.is_masked(irq));
            self.lines.activate(irq, port(irq));
            self.bound.insert(irq.0);
        }
    }

    fn unbind(&mut self, pirq: u32) {
        let Some(irq) = self.pirqs.irq(pirq) else {
            return;
        };
        assert!(!self.lines.unbind(irq, Some(port(irq) + 1)));
        let was_bound = self.bound.remove(&irq.0);
        assert_eq!(self.lines.unbind(irq, Some(port(irq))), was_bound);
        self.machine.abandon(irq);
    }

    /// A line's settings are the domain's once, and never while it is bound.
    fn set_up(&mut self, gsi: u32) {
        let number = u16::try_from(gsi).ok();
        let signal = number.and_then(Machine::signal);
        let done = self.lines.set_up(gsi, signal.unwrap_or(Signal::ISA));
        match number.filter(|_| signal.is_some()) {
            None => assert_eq!(done, Err(IrqError::Invalid)),
            Some(number) if self.bound.contains(&number) || self.set_up.contains(&number) => {
                assert_eq!(done, Err(IrqError::InUse));
            }
            Some(number) => {
                assert_eq!(done, Ok(()));
                self.set_up.insert(number);
            }
        }
    }

    /// Numbers and sources are one to one; what is bound has a number; what is not bound is masked.
    fn check(&self) {
        let mut mapped = Vec::new();
        self.pirqs.for_each(|pirq, irq| {
            assert!(pirq < LIMIT);
            assert_eq!(self.pirqs.irq(pirq), Some(irq));
            mapped.push(irq.0);
        });
        let sources: BTreeSet<u16> = mapped.iter().copied().collect();
        assert_eq!(sources.len(), mapped.len(), "two numbers for one source");
        assert!(self.bound.is_subset(&sources));
        let messages = sources.iter().filter(|irq| MESSAGES.contains(irq));
        assert!(messages.eq(&self.messages));
        for irq in (0..MESSAGES.end).filter(|irq| !self.bound.contains(irq)) {
            assert!(self.machine.is_masked(Irq(irq)), "{irq} is let through");
        }
        // A vector for each line that is bound and each message, and one more for those that move.
        let routed = self.bound.union(&self.messages).count();
        assert!((routed..=2 * routed).contains(&self.lines.vectors().taken()));
    }

    fn end(mut self) {
        let deliver = |run: &Self| {
            let (machine, lines) = (&run.machine, &run.lines);
            while (0..PROCESSORS).any(|cpu| machine.deliver(lines, cpu)) {}
        };
        let handle = |run: &Self| {
            let handled = run.bound.iter().map(|&irq| Irq(irq));
            handled
                .filter(|&irq| run.machine.handle(&run.lines, irq))
                .count()
        };
        for round in 0.. {
            assert!(round < 100, "a storm");
            deliver(&self);
            if handle(&self) == 0 {
                break;
            }
        }
        for irq in self.bound.iter().map(|&irq| Irq(irq)) {
            assert!(!self.machine.is_forgotten(irq), "{irq:?} was lost");
            assert!(!self.machine.is_masked(irq), "{irq:?} stays masked");
            assert!(!LEVELS.contains(&irq.0) || !self.machine.is_stuck(irq));
        }
        for pirq in 0..LIMIT {
            self.unmap(pirq);
        }
        self.check();
        assert_eq!(self.lines.vectors().taken(), 0, "vectors leak");
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::run;
    use crate::made_up_bytes::made_up_bytes;

    #[test]
    fn calls_read_from_made_up_bytes_break_no_rule() {
        for bytes in made_up_bytes(300, 600) {
            run(&bytes);
        }
    }
}
