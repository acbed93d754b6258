//! An undefined instruction is vector 6 at the instruction; so is one behind the prefix that asks for
//! emulation, unless it is CPUID.

use super::super::prelude::*;

pub(crate) fn run() {
    let trap = probe!("nop", "ud2");
    assert_eq!(trap::expect(trap, UD, 0).offset, 1);
    // The prefix: ud2, "xen".
    let trap = probe!("nop", "ud2", ".ascii \"xen\"", "nop");
    assert_eq!(trap::expect(trap, UD, 0).offset, 1);
}
