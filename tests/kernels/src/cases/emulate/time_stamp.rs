//! The time stamp counter is readable without a hypercall, and RDTSCP says what was written for it.

use super::super::prelude::*;
use crate::cpu::cpuid;

pub(crate) fn run() {
    let mut last = 0;
    for _ in 0..1000 {
        let now = crate::clock::tsc();
        assert!(now > last);
        last = now;
    }
    let [_, _, _, d] = cpuid(0x8000_0001, 0);
    if d & 1 << 27 == 0 {
        skip!("RDTSCP is not shown");
    }
    for value in [0x1234_5678u32, 5] {
        let trap = probe!("wrmsr"; in("ecx") 0xc000_0103u32, in("eax") value, in("edx") 0);
        assert_eq!(trap, None);
        let aux: u32;
        let trap = probe!("rdtscp"; out("eax") _, out("edx") _, out("ecx") aux);
        assert_eq!((trap, aux), (None, value));
    }
    let trap = probe!("wrmsr"; in("ecx") 0xc000_0103u32, in("eax") 0, in("edx") 1);
    trap::expect(trap, GP, 0);
}
