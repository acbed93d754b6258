//! The first instruction finds the registers that the ABI promises.

use crate::notes::VIRT_BASE;
use crate::start::{initial, start_info};
use crate::trap::rflags;
use core::sync::atomic::Ordering::Relaxed;
use guest_abi::segment::{FLAT_RING3_CS64, FLAT_RING3_SS};

pub(crate) fn run() {
    let state = initial();
    assert_eq!(state.other_registers.load(Relaxed), 0, "general registers");
    assert_eq!(state.cs.load(Relaxed), u64::from(FLAT_RING3_CS64));
    assert_eq!(state.ss.load(Relaxed), u64::from(FLAT_RING3_SS));
    assert_eq!(state.other_selectors.load(Relaxed), 0, "data selectors");
    // The OR of zeros has set the zero and parity flags.
    let arithmetic = 0x44;
    assert_eq!(
        state.rflags.load(Relaxed) & !arithmetic,
        rflags::IF | rflags::ALWAYS
    );
    let stack_end = state.rsp.load(Relaxed);
    assert!(
        stack_end.is_multiple_of(4096) && stack_end > VIRT_BASE,
        "boot stack ends at {stack_end:#x}"
    );
    let start_page = state.rsi.load(Relaxed);
    assert!(start_page.is_multiple_of(4096), "RSI {start_page:#x}");
    assert!(start_info().nr_pages > 0);
}
