//! What a processor does when there is nothing to do: it sleeps until an interrupt.

use x86_64::instructions::interrupts;

/// Sleeps for ever, but for interrupts.
pub(super) fn run() -> ! {
    loop {
        // STI lets nothing in before the HLT after it, so no wake-up is lost.
        interrupts::enable_and_hlt();
    }
}
