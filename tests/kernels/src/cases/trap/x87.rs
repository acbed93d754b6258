//! An unmasked x87 exception is vector 16 at the next x87 instruction.

use super::super::prelude::*;

pub(crate) fn run() {
    let trap = probe!(
        "fninit",
        "push 0x37b", // division by zero unmasked
        "fldcw [rsp]",
        "pop {tmp}",
        "fld1",
        "fldz",
        "fdivp",
        "fwait";
        tmp = out(reg) _,
    );
    trap::expect(trap, MF, 0);
    assert_eq!(probe!("fnclex", "fninit"), None);
}
