//! No selector behind the descriptors that guests are promised loads anything: what else a hypervisor keeps there
//! are no descriptors, and the processor would mark it as used.

use super::super::prelude::*;

/// First selectors of the hypervisor's own part of the table, and of what no guest is promised there.
const PART: u64 = 0xe000;
const UNPROMISED: u64 = 0xe038;

pub(crate) fn run() {
    for selector in (UNPROMISED..0x1_0000).step_by(8) {
        let trap = probe!("mov fs, {selector:e}", "mov {selector:e}, 0", "mov fs, {selector:e}";
            selector = inout(reg) selector | 3 => _);
        let Some(trap) = trap else {
            panic!("{selector:#x} can be loaded");
        };
        assert_eq!(trap.frame.vector, GP, "{selector:#x}");
        assert_eq!(trap.frame.error_code, selector & !7, "{selector:#x}");
    }
    // Those of ring 0 before them are out of reach as well.
    for selector in [PART + 8, PART + 0x10] {
        let trap = probe!("mov fs, {selector:e}"; selector = in(reg) selector | 3);
        trap::expect(trap, GP, selector);
    }
}
