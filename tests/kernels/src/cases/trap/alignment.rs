//! An unaligned access with alignment checks on is vector 17 with error code 0, and the handler runs with
//! the checks off.

use super::super::prelude::*;

pub(crate) fn run() {
    let frame = Frame::alloc();
    let trap = probe!(
        "pushfq",
        "or qword ptr [rsp], {ac}",
        "popfq",
        "mov {tmp}, [{address}]",
        "pushfq",
        "and qword ptr [rsp], {not_ac}",
        "popfq";
        ac = const rflags::AC,
        not_ac = const !rflags::AC as i32,
        address = in(reg) frame.va().0 + 1,
        tmp = out(reg) _,
    );
    if trap.is_none() {
        skip!("the processor (QEMU's emulation) does not check alignment");
    }
    let trap = trap::expect(trap, AC, 0);
    assert_eq!(trap.handler_rflags & rflags::AC, 0);
}
