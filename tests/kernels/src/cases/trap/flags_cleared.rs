//! The handler starts without the flags that would disturb it, and the frame keeps them.

use super::super::prelude::*;

pub(crate) fn run() {
    let disturbing = rflags::AC | rflags::NT;
    let trap = probe!(
        "pushfq",
        "or [rsp], {flags}",
        "popfq",
        "ud2";
        flags = in(reg) disturbing,
    );
    let trap = trap::expect(trap, UD, 0);
    assert_eq!(trap.frame.rflags & disturbing, disturbing, "in the frame");
    assert_eq!(trap.handler_rflags & disturbing, 0, "in the handler");
}
