//! Device memory that the first domain may use can be mapped; what the hypervisor keeps for itself can't.

use super::super::prelude::*;
use crate::memory::{KERNEL_RW, SPARE, Tables, entry};

/// The screen, and the range below the BIOS.
const ALLOWED: [u64; 3] = [0xb8, 0xa0, 0xf0];
/// The local APIC.
const KEPT: u64 = 0xfee00;

pub(crate) fn run() {
    let hooked = Tables::hook(SPARE);
    for mfn in ALLOWED.map(Mfn) {
        let outcome = memory::set_entry(hooked.l1.word_address(1), entry(mfn, KERNEL_RW));
        assert_eq!(outcome, Ok(0), "{mfn}");
        let trap = probe!("mov {tmp}, [{at}]"; at = in(reg) SPARE.0 + 0x1000, tmp = out(reg) _);
        assert_eq!(trap, None, "{mfn}");
        // It is no table.
        assert!(memory::pin(1, mfn).is_err());
    }
    let outcome = memory::set_entry(hooked.l1.word_address(1), entry(Mfn(KEPT), KERNEL_RW));
    assert_eq!(outcome, Err(Errno::EPERM));
}
