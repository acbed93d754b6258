//! CR0 reads as the processor's with the virtual task-switched flag, which is all that a write may change.

use super::super::prelude::*;
use crate::control::is_reference;

const TS: u64 = 1 << 3;
const EM: u16 = 1 << 2;
/// PE, MP, ET, NE, WP, AM, PG. Without AM no unaligned access would raise vector 17, whatever the flags are, which the cases
/// about that can't tell where the emulator does not raise it either.
const ALWAYS: u64 = 1 | 1 << 1 | 1 << 4 | 1 << 5 | 1 << 16 | 1 << 18 | 1 << 31;

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
    // As the machine's status word, it has the flag, too. The reference refuses that instruction whatever it would do.
    let word = cr0 as u16;
    if is_reference() {
        trap::expect(load_status(word), GP, 0);
    } else {
        assert_eq!(load_status(word | TS as u16), None);
        assert_eq!(read(), cr0 | TS);
        trap::expect(probe!("movups xmm0, xmm1"), NM, 0);
        assert_eq!(load_status(word | TS as u16), None);
        assert_eq!(load_status(word), None);
    }
    assert_eq!(read(), cr0);
    trap::expect(load_status(word ^ EM), GP, 0);
    assert_eq!(read(), cr0);
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

fn load_status(word: u16) -> Option<trap::Trap> {
    probe!("lmsw {word:x}"; word = in(reg) word)
}
