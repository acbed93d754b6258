//! What is not emulated is vector 13 with the processor's error code at the instruction.

use super::super::prelude::*;

pub(crate) fn run() {
    // A non-canonical address.
    let trap = probe!(
        "nop",
        "mov {tmp}, [{address}]";
        address = in(reg) NON_CANONICAL,
        tmp = out(reg) _,
    );
    assert_eq!(trap::expect(trap, GP, 0).offset, 1);
    // A selector beyond the guest's descriptors.
    for selector in [0x33u64, 0xe103, 0xfffb] {
        let trap = probe!("mov ds, {selector:e}"; selector = in(reg) selector);
        trap::expect(trap, GP, selector & !3);
    }
    // The kernel's own privileged instructions, by their error code.
    let trap = probe!("hlt");
    trap::expect(trap, GP, 0);
}
