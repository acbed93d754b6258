//! A watchdog that is not fed ends the domain.

use super::set_watchdog;
use crate::clock::{self, MS};

pub(crate) fn run() {
    crate::verdict::expect("REBOOT");
    assert_eq!(set_watchdog(0, 1), Ok(1));
    let start = clock::now_ns();
    while clock::now_ns() < start + 20_000 * MS {
        core::hint::spin_loop();
    }
    panic!("no bark");
}
