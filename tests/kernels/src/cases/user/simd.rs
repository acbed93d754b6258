//! An unmasked SSE exception in user mode is vector 19.

use super::super::prelude::*;

user_code!(
    user_divide_sse,
    "push 0x1d80", // division by zero unmasked
    "ldmxcsr [rsp]",
    "pop rax",
    "mov eax, 0x3f800000",
    "movd xmm0, eax",
    "xorps xmm1, xmm1",
    "divss xmm0, xmm1",
    "ud2",
);

pub(crate) fn run() {
    user::load_new();
    let frame = user::enter(&user::registers(user_divide_sse())).frame;
    let trap = probe!("push 0x1f80", "ldmxcsr [rsp]", "pop {tmp}"; tmp = out(reg) _);
    assert_eq!(trap, None);
    if frame.vector == UD {
        skip!("the processor (QEMU's emulation) raises no SSE exception");
    }
    assert_eq!((frame.vector, frame.error_code), (XF, 0));
}
