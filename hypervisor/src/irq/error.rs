//! Why an operation on an interrupt is refused.

/// A refusal. Nothing has changed when one is returned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IrqError {
    /// There is no such interrupt, or it is not in a state that allows this.
    Invalid,
    /// The hypervisor uses it itself.
    Busy,
    /// It has what is asked for already: a port, a number, its settings.
    InUse,
    /// No vector is free on any processor, or no place for another message.
    NoRoom,
}
