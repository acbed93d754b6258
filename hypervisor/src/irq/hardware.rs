//! What the room asks of interrupt controllers and devices.

use super::lines::Irq;

/// When a line counts as raised.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trigger {
    /// On the edge.
    Edge,
    /// As long as it is active.
    Level,
}

/// Which level of a line is active.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Polarity {
    /// High.
    High,
    /// Low.
    Low,
}

/// How a line signals.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Signal {
    /// Edge or level.
    pub trigger: Trigger,
    /// High or low.
    pub polarity: Polarity,
}

impl Signal {
    /// As on the ISA bus.
    pub const ISA: Self = Self {
        trigger: Trigger::Edge,
        polarity: Polarity::High,
    };
}

/// Whether a source is let through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mask {
    /// It is.
    Open,
    /// It is not.
    Masked,
}

/// Where an interrupt goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target {
    /// Number of the processor.
    pub cpu: u32,
    /// Vector on it.
    pub vector: u8,
}

/// The machine's interrupt controllers and the registers of devices that send messages. Called with interrupts off.
pub trait Hardware {
    /// Programs a line's pin; masked while it is half written.
    fn set_pin(&self, irq: Irq, signal: Signal, target: Target, mask: Mask);
    /// Masks a line's pin or lets it through, leaving the rest.
    fn mask_pin(&self, irq: Irq, mask: Mask);
    /// Changes a line's processor by one write, leaving the rest.
    fn move_pin(&self, irq: Irq, cpu: u32);
    /// Whether an interrupt of a level line is on its way to the processor that it goes to, or in service there.
    fn is_pin_busy(&self, irq: Irq) -> bool;
    /// Takes back what the hardware believes to be in service of a level line that is masked, if it still does.
    fn settle_pin(&self, irq: Irq);
    /// Writes where a message goes: first the data, then the address if they differ from what is there.
    fn set_message(&self, irq: Irq, target: Target);
    /// Masks a message or lets it through. Does nothing if it has no mask.
    fn mask_message(&self, irq: Irq, mask: Mask);
    /// Keeps a message from being sent, mask or not, until it is let through again. What its sender has to say meanwhile may
    /// be lost.
    fn hush_message(&self, irq: Irq);
    /// The calling processor's local APIC is done with the interrupt being handled.
    fn end_of_interrupt(&self);
    /// Whether interrupts can be sent to this processor.
    fn can_reach(&self, cpu: u32) -> bool;
}
