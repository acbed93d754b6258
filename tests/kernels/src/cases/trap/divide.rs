//! A division by zero is vector 0, without an error code, at the instruction.

use super::super::prelude::*;

pub(crate) fn run() {
    let trap = probe!(
        "nop",
        "div {zero:e}";
        zero = in(reg) 0,
        inout("eax") 1 => _,
        inout("edx") 0 => _,
    );
    assert_eq!(trap::expect(trap, DE, 0).offset, 1);
}
