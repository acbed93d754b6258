//! Says that it runs, and computes for ever on its one processor.

use crate::shared_ring::print_on_console;

pub(crate) fn run() {
    print_on_console("the guest runs");
    crate::clock::stop_periodic_timer();
    loop {
        core::hint::spin_loop();
    }
}
