//! A machine with IO-APICs, local APICs and devices, as simple as its documentation, and guests that handle events.

use super::hardware::{Hardware, Mask, Signal, Target, Trigger};
use super::line::Owner;
use super::lines::{Irq, Lines};
use std::cell::RefCell;
use std::rc::Rc;

/// Lines 0 to 3 are edges, 4 to 7 levels, 8 to 11 places of messages.
pub(super) const EDGES: std::ops::Range<u16> = 0..4;
pub(super) const LEVELS: std::ops::Range<u16> = 4..8;
pub(super) const MESSAGES: std::ops::Range<u16> = 8..12;
pub(super) const PROCESSORS: u32 = 3;

/// A pin's redirection entry.
#[derive(Clone, Copy, Debug)]
struct Pin {
    signal: Signal,
    target: Target,
    mask: Mask,
    remote_irr: bool,
}

/// A message's registers.
#[derive(Clone, Copy, Debug)]
struct Message {
    target: Option<Target>,
    mask: Mask,
    is_maskable: bool,
    /// Its sender is kept from sending it.
    is_hushed: bool,
    /// Asked for while masked.
    is_pending: bool,
}

/// An interrupt that a local APIC has accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Accepted {
    vector: u8,
    trigger: Trigger,
}

#[derive(Default, Debug)]
struct LocalApic {
    requested: Vec<Accepted>,
    in_service: Vec<Accepted>,
}

/// A device, and the driver that handles its interrupts.
#[derive(Clone, Copy, Default, Debug)]
struct Device {
    /// What it waits for its driver to do.
    work: u32,
    /// The driver has an event that it has not looked at.
    has_event: bool,
    /// The driver has not ended the last interrupt of a level line.
    owes_end: bool,
    /// The processor that runs the driver.
    home: Option<u32>,
}

#[derive(Debug)]
struct State {
    pins: Vec<Pin>,
    messages: Vec<Message>,
    processors: Vec<LocalApic>,
    devices: Vec<Device>,
    current: usize,
    now_ns: u64,
}

/// The machine. Clones are the same one.
#[derive(Clone, Debug)]
pub(super) struct Machine(Rc<RefCell<State>>);

/// A guest whose driver of a device is told of interrupts.
#[derive(Clone, Debug)]
pub(super) struct Guest(pub(super) Machine);

impl Owner for Guest {
    fn raise(&self, pirq: u32, port: u32) -> Option<u32> {
        assert_eq!(port, pirq + 100);
        let mut state = self.0.0.borrow_mut();
        let device = &mut state.devices[pirq as usize];
        let is_level = LEVELS.contains(&(pirq as u16));
        assert!(
            !(is_level && device.owes_end),
            "an interrupt of a level line before the end of the last"
        );
        device.has_event = true;
        device.owes_end = is_level;
        device.home
    }
}

impl State {
    fn accept(&mut self, target: Target, trigger: Trigger) {
        let processor = &mut self.processors[target.cpu as usize];
        let accepted = Accepted {
            vector: target.vector,
            trigger,
        };
        assert!(target.vector >= 0x30, "{target:?}");
        if !processor.requested.contains(&accepted) {
            processor.requested.push(accepted);
        }
    }

    /// Sends what a level pin's line asks for.
    fn look_at_pin(&mut self, index: usize) {
        let pin = self.pins[index];
        if pin.signal.trigger == Trigger::Level
            && pin.mask == Mask::Open
            && !pin.remote_irr
            && self.devices[index].work > 0
        {
            self.pins[index].remote_irr = true;
            self.accept(pin.target, Trigger::Level);
        }
    }

    fn send_message(&mut self, irq: u16) {
        let message = &mut self.messages[usize::from(irq - MESSAGES.start)];
        if message.mask == Mask::Masked && message.is_maskable {
            message.is_pending = true;
        } else if message.is_hushed {
            // Lost.
        } else if let Some(target) = message.target {
            message.is_pending = false;
            self.accept(target, Trigger::Edge);
        }
    }
}

impl Machine {
    pub(super) fn new() -> Self {
        let pin = |number| Pin {
            signal: Self::signal(number).expect("a pin"),
            target: Target { cpu: 0, vector: 0 },
            mask: Mask::Masked,
            remote_irr: false,
        };
        Self(Rc::new(RefCell::new(State {
            pins: (0..MESSAGES.start).map(pin).collect(),
            messages: MESSAGES
                .map(|number| Message {
                    target: None,
                    mask: Mask::Masked,
                    // Odd ones can be masked.
                    is_maskable: Self::is_maskable(number),
                    is_hushed: false,
                    is_pending: false,
                })
                .collect(),
            processors: (0..PROCESSORS).map(|_| LocalApic::default()).collect(),
            devices: vec![Device::default(); usize::from(MESSAGES.end)],
            current: 0,
            now_ns: 0,
        })))
    }

    pub(super) fn is_maskable(number: u16) -> bool {
        number % 2 == 1
    }

    pub(super) fn signal(number: u16) -> Option<Signal> {
        if EDGES.contains(&number) {
            Some(Signal::ISA)
        } else if LEVELS.contains(&number) {
            Some(Signal {
                trigger: Trigger::Level,
                ..Signal::ISA
            })
        } else {
            None
        }
    }

    pub(super) fn lines(&self) -> Lines<Machine, Guest> {
        let count = MESSAGES.end - MESSAGES.start;
        Lines::new(
            self.clone(),
            PROCESSORS,
            MESSAGES.start,
            count,
            Self::signal,
        )
    }

    /// A device wants its driver.
    pub(super) fn raise(&self, irq: Irq) {
        let mut state = self.0.borrow_mut();
        let index = usize::from(irq.0);
        state.devices[index].work += 1;
        if MESSAGES.contains(&irq.0) {
            state.send_message(irq.0);
        } else if LEVELS.contains(&irq.0) {
            state.look_at_pin(index);
        } else if state.pins[index].mask == Mask::Open {
            // An edge at a masked pin is lost.
            let target = state.pins[index].target;
            state.accept(target, Trigger::Edge);
        }
    }

    /// Processor `cpu` takes the interrupt of the highest vector. `false` if it has none.
    pub(super) fn deliver(&self, lines: &Lines<Machine, Guest>, cpu: u32) -> bool {
        let vector = {
            let mut state = self.0.borrow_mut();
            state.current = cpu as usize;
            let processor = &mut state.processors[cpu as usize];
            let Some(highest) = processor
                .requested
                .iter()
                .copied()
                .max_by_key(|accepted| accepted.vector)
            else {
                return false;
            };
            processor.requested.retain(|accepted| *accepted != highest);
            processor.in_service.push(highest);
            highest.vector
        };
        let now_ns = self.0.borrow().now_ns;
        let _ = lines.arrive(cpu, vector, now_ns);
        let state = self.0.borrow();
        assert!(
            state.processors[cpu as usize].in_service.is_empty(),
            "the local APIC was not told that it is done"
        );
        true
    }

    /// The driver of a device does its work if it has been told of some. `false` if it has not.
    pub(super) fn handle(&self, lines: &Lines<Machine, Guest>, irq: Irq) -> bool {
        let index = usize::from(irq.0);
        let owed = {
            let mut state = self.0.borrow_mut();
            let device = &mut state.devices[index];
            if !device.has_event {
                return false;
            }
            device.has_event = false;
            device.work = 0;
            core::mem::take(&mut device.owes_end)
        };
        if owed {
            lines.end(irq);
        }
        true
    }

    /// Ends an interrupt without having done what the device wants.
    pub(super) fn end_early(&self, lines: &Lines<Machine, Guest>, irq: Irq) {
        let owed = core::mem::take(&mut self.0.borrow_mut().devices[usize::from(irq.0)].owes_end);
        if owed {
            lines.end(irq);
        }
    }

    /// The driver of a device runs on another processor from now on.
    pub(super) fn migrate(&self, irq: Irq, cpu: u32) {
        self.0.borrow_mut().devices[usize::from(irq.0)].home = Some(cpu);
    }

    /// Time goes by, and what rests wakes in time.
    pub(super) fn wait(&self, lines: &Lines<Machine, Guest>, ns: u64) {
        let now_ns = {
            let mut state = self.0.borrow_mut();
            state.now_ns += ns;
            state.now_ns
        };
        lines.wake_due(now_ns);
    }

    /// Nobody drives a device any more: it falls silent, and what it has said is forgotten.
    pub(super) fn abandon(&self, irq: Irq) {
        self.0.borrow_mut().devices[usize::from(irq.0)] = Device::default();
    }

    /// Whether a device waits for a driver that has not been told.
    pub(super) fn is_forgotten(&self, irq: Irq) -> bool {
        let device = self.0.borrow().devices[usize::from(irq.0)];
        device.work > 0 && !device.has_event
    }

    /// Whether a device's pin or message is masked.
    pub(super) fn is_masked(&self, irq: Irq) -> bool {
        let state = self.0.borrow();
        let mask = match irq.0.checked_sub(MESSAGES.start) {
            Some(message) if state.messages[usize::from(message)].is_hushed => Mask::Masked,
            Some(message) => state.messages[usize::from(message)].mask,
            None => state.pins[usize::from(irq.0)].mask,
        };
        mask == Mask::Masked
    }

    /// The interrupts that a level pin has accepted and whose end it has missed: none, ever, once all is quiet.
    pub(super) fn is_stuck(&self, irq: Irq) -> bool {
        self.0.borrow().pins[usize::from(irq.0)].remote_irr
    }
}

impl Hardware for Machine {
    fn set_pin(&self, irq: Irq, signal: Signal, target: Target, mask: Mask) {
        let index = usize::from(irq.0);
        let mut state = self.0.borrow_mut();
        let pin = &mut state.pins[index];
        (pin.signal, pin.target, pin.mask) = (signal, target, mask);
        state.look_at_pin(index);
    }

    fn mask_pin(&self, irq: Irq, mask: Mask) {
        let index = usize::from(irq.0);
        let mut state = self.0.borrow_mut();
        state.pins[index].mask = mask;
        state.look_at_pin(index);
    }

    fn move_pin(&self, irq: Irq, cpu: u32) {
        self.0.borrow_mut().pins[usize::from(irq.0)].target.cpu = cpu;
    }

    fn is_pin_busy(&self, irq: Irq) -> bool {
        self.0.borrow().pins[usize::from(irq.0)].remote_irr
    }

    fn settle_pin(&self, irq: Irq) {
        let mut state = self.0.borrow_mut();
        let pin = &mut state.pins[usize::from(irq.0)];
        assert_eq!(pin.mask, Mask::Masked);
        pin.remote_irr = false;
    }

    fn set_message(&self, irq: Irq, target: Target) {
        let mut state = self.0.borrow_mut();
        let message = &mut state.messages[usize::from(irq.0 - MESSAGES.start)];
        let is_one_write = message
            .target
            .is_none_or(|old| old.vector == target.vector || old.cpu == target.cpu);
        assert!(
            is_one_write || message.mask == Mask::Masked,
            "a message was torn: {:?} to {target:?}",
            message.target
        );
        message.target = Some(target);
    }

    fn mask_message(&self, irq: Irq, mask: Mask) {
        let mut state = self.0.borrow_mut();
        let message = &mut state.messages[usize::from(irq.0 - MESSAGES.start)];
        message.mask = mask;
        message.is_hushed &= mask == Mask::Masked;
        if mask == Mask::Open && message.is_pending {
            state.send_message(irq.0);
        }
    }

    fn hush_message(&self, irq: Irq) {
        let mut state = self.0.borrow_mut();
        let message = &mut state.messages[usize::from(irq.0 - MESSAGES.start)];
        message.is_hushed = true;
        if message.is_maskable {
            message.mask = Mask::Masked;
        }
    }

    fn end_of_interrupt(&self) {
        let mut state = self.0.borrow_mut();
        let current = state.current;
        let ended = state.processors[current]
            .in_service
            .pop()
            .expect("an interrupt in service");
        if ended.trigger == Trigger::Level {
            for index in 0..state.pins.len() {
                let pin = &mut state.pins[index];
                if pin.remote_irr && pin.target.vector == ended.vector {
                    pin.remote_irr = false;
                    state.look_at_pin(index);
                }
            }
        }
    }

    fn can_reach(&self, cpu: u32) -> bool {
        cpu < PROCESSORS
    }
}
