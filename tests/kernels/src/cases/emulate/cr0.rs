//! CR0 reads as the processor's with the virtual task-switched flag, which is all that a write may change.

use super::super::prelude::*;

const TS: u64 = 1 << 3;
/// PE, ET, NE, WP, PG.
const ALWAYS: u64 = 1 | 1 << 4 | 1 << 5 | 1 << 16 | 1 << 31;

pub(crate) fn run() {
    let cr0 = read();
    assert_eq!(cr0 & (ALWAYS | TS), ALWAYS, "CR0 {cr0:#x}");
    assert_eq!(write(cr0 | TS), None);
    assert_eq!(read(), cr0 | TS);
    let trap = trap::expect(probe!("nop", "movups xmm0, xmm1"), NM, 0);
    assert_eq!(trap.offset, 1);
    assert_eq!(read(), cr0, "delivering #NM clears the flag");
    assert_eq!(write(cr0 | TS), None);
    assert_eq!(write(cr0), None);
    assert_eq!(probe!("movups xmm0, xmm1"), None);
    for bit in [0, 1, 2, 16, 18, 29, 30, 31, 40] {
        trap::expect(write(cr0 ^ 1 << bit), GP, 0);
        assert_eq!(read(), cr0, "bit {bit}");
    }
}

fn read() -> u64 {
    let cr0;
    assert_eq!(probe!("mov {cr0}, cr0"; cr0 = out(reg) cr0), None);
    cr0
}

fn write(cr0: u64) -> Option<trap::Trap> {
    probe!("mov cr0, {cr0}"; cr0 = in(reg) cr0)
}
