//! An unmasked SSE exception is vector 19.

use super::super::prelude::*;

pub(crate) fn run() {
    let trap = probe!(
        "push 0x1d80", // division by zero unmasked
        "ldmxcsr [rsp]",
        "pop {tmp}",
        "mov {tmp:e}, 0x3f800000",
        "movd xmm0, {tmp:e}",
        "xorps xmm1, xmm1",
        "divss xmm0, xmm1";
        tmp = out(reg) _,
    );
    assert_eq!(
        probe!("push 0x1f80", "ldmxcsr [rsp]", "pop {tmp}"; tmp = out(reg) _),
        None
    );
    if trap.is_none() {
        skip!("the processor (QEMU's emulation) raises no SSE exception");
    }
    trap::expect(trap, XF, 0);
}
