//! The trap flag is vector 1 after the next instruction, and the handler itself is not stepped.

use super::super::prelude::*;

pub(crate) fn run() {
    let trap = probe!(
        "pushfq",
        "or qword ptr [rsp], {tf}",
        "popfq",
        "nop", // stepped
        "ud2";
        tf = const rflags::TF,
    );
    let trap = trap::expect(trap, DB, 0);
    assert_eq!(trap.handler_rflags & rflags::TF, 0, "TF in the handler");
    assert_eq!(
        trap.frame.rflags & rflags::TF,
        rflags::TF,
        "TF in the frame"
    );
    // PUSHFQ 1 byte, OR 8 bytes, POPFQ 1 byte; the trap comes after the NOP.
    assert_eq!(trap.offset, 11);
    let status = hypercall!(GetDebugreg, 6u64);
    assert_eq!(status.map(|dr6| dr6 & 1 << 14), Ok(1 << 14), "DR6.BS");
}
