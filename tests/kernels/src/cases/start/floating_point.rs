//! The floating-point and debug registers are in their initial state.

use super::super::prelude::*;
use guest_abi::start_of_day::{INITIAL_DR6, INITIAL_DR7, INITIAL_FCW, INITIAL_MXCSR};

pub(crate) fn run() {
    let (control, status): (u16, u16);
    let mut mxcsr = 0u32;
    let trap = probe!(
        "push 0",
        "fnstcw [rsp]",
        "pop {control}",
        "fnstsw ax",
        "stmxcsr [{mxcsr}]";
        control = out(reg) _ ,
        mxcsr = in(reg) &mut mxcsr,
        out("ax") status,
    );
    assert_eq!(trap, None);
    let mut word = 0u16;
    probe!("fnstcw [{word}]"; word = in(reg) &mut word);
    control = word;
    assert_eq!(control, INITIAL_FCW);
    assert_eq!(status, 0);
    assert_eq!(mxcsr, INITIAL_MXCSR);

    let mut registers = [[1u64; 2]; 16];
    probe!(
        "movups [{at}], xmm0",
        "movups [{at} + 16], xmm1",
        "movups [{at} + 112], xmm7",
        "movups [{at} + 128], xmm8",
        "movups [{at} + 240], xmm15";
        at = in(reg) &mut registers,
    );
    for number in [0, 1, 7, 8, 15] {
        assert_eq!(registers[number], [0; 2], "XMM{number}");
    }
    assert_eq!(hypercall!(GetDebugreg, 6u64), Ok(INITIAL_DR6));
    assert_eq!(hypercall!(GetDebugreg, 7u64), Ok(INITIAL_DR7));
}
