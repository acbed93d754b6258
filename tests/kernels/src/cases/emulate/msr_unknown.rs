//! MSRs that are not offered are vector 13 at the instruction, for reading and for writing.

use super::super::prelude::*;

pub(crate) fn run() {
    // System-call entries, SYSENTER, debug control, SVM, x2APIC, an MSR that no processor has.
    for msr in [
        0xc000_0081u32,
        0xc000_0082,
        0xc000_0084,
        0x174,
        0x176,
        0xc001_0117,
        0x802,
        0x1234_5678,
    ] {
        let trap = probe!("nop", "wrmsr"; in("ecx") msr, in("eax") 0, in("edx") 0);
        assert_eq!(trap::expect(trap, GP, 0).offset, 1, "writing {msr:#x}");
        let trap = probe!("nop", "rdmsr"; in("ecx") msr, out("eax") _, out("edx") _);
        assert_eq!(trap::expect(trap, GP, 0).offset, 1, "reading {msr:#x}");
    }
}
