//! Interrupts of devices: lines of IO-APICs, and messages.
//!
//! # Who has an interrupt
//!
//! Every source has a number, its [`Irq`]: the lines of all IO-APICs by their global system interrupt, then places for
//! messages. A domain knows an interrupt by a number of its own, the *pirq* ([`Pirqs`]), and binds it to an event-channel
//! port. A [`Line`] is the state machine of one source.
//!
//! # Why a level interrupt is masked while a guest handles it
//!
//! A level line stays asserted until the device's driver has been run, and that is a guest, which may take as long
//! as it likes. Leaving the local APIC's interrupt in service for that time would block the processor's other
//! interrupts of the same priority and below, and make the order in which guests finish matter. So the line's pin is masked,
//! the local APIC is done with it at once, and the pin is unmasked when the guest says that it is done
//! (`PHYSDEVOP_eoi`). If the line is still asserted then, the interrupt comes again, and not before: a guest can't make
//! a storm, and nothing is lost. Edges and messages are passed on at once; the port's pending bit merges them, and
//! [`throttle`] masks a source for a while that sends more of them than any use could be made of.
//!
//! # How an interrupt moves to another processor
//!
//! A level line moves while it is masked and nothing of it is on its way, which the pin's own state tells. An edge can't
//! be held back, so it moves by a single write that changes the destination alone, and the vector's number is the same on both
//! processors; a message whose mask can be set may change its vector, too. The old processor keeps the old
//! vector until an interrupt has come to the new one: what was on its way then has been overtaken. A move is a hint,
//! and one that can't be made is not made. It is asked for by the guest, which moves a port to another vCPU, and by the
//! line itself, when the vCPU runs on another processor for some interrupts in a row.
//!
//! # Locks
//!
//! A domain's list of pirqs ([`rank::PIRQS`](crate::sync::rank::PIRQS)) before a line's own lock, which keeps interrupts off. Under a
//! line's lock the hardware is programmed (leaf locks of the IO-APICs and of PCI) and the event is raised, which takes no
//! lock. Vectors are found and given out without locks.
#![forbid(unsafe_code)]

#[cfg(all(any(test, fuzzing), not(loom)))]
pub mod calls;
mod error;
mod hardware;
mod line;
mod lines;
mod pirqs;
pub mod throttle;
mod vectors;

#[cfg(any(test, fuzzing))]
#[cfg_attr(
    fuzzing,
    allow(dead_code, reason = "the fuzzer does not need all of it")
)]
mod model;
#[cfg(all(test, not(loom)))]
mod property_tests;
#[cfg(all(test, not(loom)))]
mod tests;

pub use error::IrqError;
pub use hardware::{Hardware, Mask, Polarity, Signal, Target, Trigger};
pub use line::{Arrival, Line, Owner};
pub use lines::{Irq, Lines};
pub use pirqs::{Pirq, Pirqs};
pub use vectors::{Route, Vectors};
