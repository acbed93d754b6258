//! XSETBV takes combinations of states that make sense, which XGETBV then shows, and refuses the others.

use super::super::prelude::*;
use crate::cpu::cpuid;

const X87: u32 = 1;
const SSE: u32 = 2;
const AVX: u32 = 4;

pub(crate) fn run() {
    let [_, _, c, _] = cpuid(1, 0);
    if c & 1 << 26 == 0 {
        skip!("XSAVE is not shown");
    }
    let cr4: u64;
    assert_eq!(
        probe!("mov {cr4}, cr4", "or {cr4}, {osxsave}", "mov cr4, {cr4}"; cr4 = out(reg) cr4, osxsave = const 1 << 18),
        None
    );
    assert_ne!(cr4 & 1 << 18, 0);
    let [offered, ..] = cpuid(0xd, 0);
    assert_eq!(set(0, X87 | SSE), None);
    assert_eq!(get(), X87 | SSE);
    if offered & AVX != 0 {
        assert_eq!(set(0, X87 | SSE | AVX), None);
        assert_eq!(get(), X87 | SSE | AVX);
    }
    let before = get();
    for refused in [0, SSE, X87 | AVX, 1 << 31] {
        trap::expect(set(0, refused), GP, 0);
        assert_eq!(get(), before, "after {refused:#x}");
    }
    trap::expect(set(1, X87), GP, 0);
}

fn set(register: u32, states: u32) -> Option<trap::Trap> {
    probe!("xsetbv"; in("ecx") register, in("eax") states, in("edx") 0)
}

fn get() -> u32 {
    let states;
    assert_eq!(
        probe!("xgetbv"; in("ecx") 0, out("eax") states, out("edx") _),
        None
    );
    states
}
