//! How a processor is made to look at something: a word of reasons, and an interrupt for the first of them.
//!
//! Whoever wants a processor to look changes what there is to be seen, then [asks](Attention::ask). The
//! processor, with interrupts off, [takes](Attention::take) the reasons and looks; it goes to a guest, or
//! sleeps, only when it then finds [nothing asked](Attention::is_asked) — still with interrupts off, so that an
//! interrupt sent after that look ends the sleep, or the guest's turn, at once.
//!
//! Only the one who finds no reason there has to send an interrupt. A reason that is there already was put
//! there by somebody who sends one, or by the processor itself, which looks before it leaves; and it is taken
//! together with all that came later. `loom_models` has this argument as a model.
#![forbid(unsafe_code)]

use crate::sync::atomic::{AtomicU8, Ordering};

bitflags::bitflags! {
    /// Why a processor should look.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Reasons: u8 {
        /// Another vCPU may have to run.
        const PICK = 1 << 0;
        /// A timer may be due.
        const TIMER = 1 << 1;
        /// The vCPU that runs has an event.
        const EVENT = 1 << 2;
    }
}

/// What a processor is asked to look at.
#[derive(Debug)]
pub struct Attention(AtomicU8);

impl Attention {
    /// Nothing.
    #[cfg(not(loom))]
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU8::new(0))
    }

    /// Nothing.
    #[cfg(loom)]
    #[must_use]
    pub fn new() -> Self {
        Self(AtomicU8::new(0))
    }

    /// Adds a reason. `true`: the processor is to be interrupted, unless it is the caller's own.
    #[must_use = "without the interrupt the processor may not look for long"]
    pub fn ask(&self, why: Reasons) -> bool {
        self.0.fetch_or(why.bits(), Ordering::SeqCst) == 0
    }

    /// Whether there is a reason.
    #[inline]
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::SeqCst) != 0
    }

    /// Takes all reasons; the caller looks at everything that they name.
    pub fn take(&self) -> Reasons {
        Reasons::from_bits_truncate(self.0.swap(0, Ordering::SeqCst))
    }
}

impl Default for Attention {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_interrupts_and_all_are_taken_at_once() {
        let attention = Attention::new();
        assert!(!attention.is_asked());
        assert!(attention.ask(Reasons::EVENT));
        assert!(!attention.ask(Reasons::EVENT));
        assert!(!attention.ask(Reasons::TIMER));
        assert!(attention.is_asked());
        assert_eq!(attention.take(), Reasons::EVENT | Reasons::TIMER);
        assert_eq!(attention.take(), Reasons::empty());
        assert!(attention.ask(Reasons::PICK));
    }
}
