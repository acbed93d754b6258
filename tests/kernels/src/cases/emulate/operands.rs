//! Emulated instructions take and give any general register, through needless prefixes too.

use super::super::prelude::*;

macro_rules! cr2_through {
    ($($register:literal),*) => {{$(
        let value: u64;
        let trap = probe!(
            concat!("mov {saved}, ", $register),
            concat!("mov ", $register, ", {value}"),
            concat!("mov cr2, ", $register),
            concat!("xor ", $register, ", ", $register),
            concat!("mov ", $register, ", cr2"),
            concat!("mov {value}, ", $register),
            concat!("mov ", $register, ", {saved}");
            // Not among the registers that are tried.
            value = inout(reg) VALUE => value,
            saved = out(reg) _,
            out("rdi") _, out("rsi") _, out("r8") _, out("r9") _, out("r10") _, out("r11") _,
            out("r13") _, out("r14") _, out("r15") _,
        );
        assert_eq!((trap, value), (None, VALUE), $register);
    )*}};
}

const VALUE: u64 = 0x1234_5678_9abc_def0;

pub(crate) fn run() {
    cr2_through!(
        "rdi", "rsi", "r8", "r9", "r10", "r11", "r13", "r14", "r15", "rbx", "rbp"
    );
    // A prefix for the operand's size and one for the address's: neither matters.
    let value: u64;
    let trap = probe!(
        ".byte 0x66, 0x67",
        "mov rax, cr2";
        out("rax") value,
    );
    assert_eq!((trap, value), (None, VALUE));
    // A segment prefix, and REX without a meaning.
    let trap = probe!(".byte 0x2e, 0x40", "rdmsr"; in("ecx") 0x277, out("eax") _, out("edx") _);
    assert_eq!(trap, None);
    // A locked one is undefined, or refused.
    let trap = probe!(".byte 0xf0, 0x0f, 0x09").map(|trap| trap.frame.vector);
    assert!(
        [Some(UD), Some(GP)].contains(&trap),
        "LOCK WBINVD: {trap:?}"
    );
}
