//! Privileged instructions that the kernel has hypercalls for, or no use of, are vector 13, and MONITOR and MWAIT
//! are vector 6.

use super::super::prelude::*;

pub(crate) fn run() {
    let frame = Frame::alloc();
    let at = frame.va().0;
    trap::expect(probe!("hlt"), GP, 0);
    trap::expect(probe!("lgdt [{at}]"; at = in(reg) at), GP, 0);
    trap::expect(probe!("lidt [{at}]"; at = in(reg) at), GP, 0);
    trap::expect(probe!("lldt ax"; in("ax") 0u16), GP, 0);
    trap::expect(probe!("ltr ax"; in("ax") 0u16), GP, 0);
    trap::expect(probe!("invlpg [{at}]"; at = in(reg) at), GP, 0);
    trap::expect(probe!("swapgs"), GP, 0);
    trap::expect(probe!("sysretq"), GP, 0);
    // Counters of what the machine does, in both forms.
    for counter in [0u32, 0x4000_0000] {
        let trap = probe!("rdpmc"; in("ecx") counter, out("eax") _, out("edx") _);
        trap::expect(trap, GP, 0);
    }
    trap::expect(probe!("lmsw ax"; in("ax") 1u16), GP, 0);
    // What waits for a write does not exist outside the processor's kernel level.
    trap::expect(
        probe!("monitor"; in("rax") at, in("ecx") 0, in("edx") 0),
        UD,
        0,
    );
    trap::expect(probe!("mwait"; in("eax") 0, in("ecx") 0), UD, 0);
    // What reads a table's address needs no privilege.
    assert_eq!(probe!("sgdt [{at}]"; at = in(reg) at), None);
    assert_eq!(probe!("smsw {word:e}"; word = out(reg) _), None);
    assert_eq!(probe!("str {word:e}"; word = out(reg) _), None);
}
