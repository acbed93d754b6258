//! An exception in the kernel arrives with exactly the frame that the ABI draws: RCX and R11 on top, no
//! privilege in the selectors, the virtual interrupt flag, the stack aligned.

use super::super::prelude::*;
use guest_abi::segment::{FLAT_RING3_CS64, FLAT_RING3_SS};

pub(crate) fn run() {
    for masked in [1, 0] {
        if masked == 1 {
            event::mask_upcalls();
        } else {
            event::unmask_upcalls();
        }
        for misalignment in [0u64, 8] {
            check(masked, misalignment);
        }
    }
}

fn check(masked: u64, misalignment: u64) {
    let rsp: u64;
    let trap = probe!(
        "sub rsp, 256",
        "and rsp, -16",
        "sub rsp, {misalignment}",
        "mov {rsp}, rsp",
        "stc",
        "ud2";
        misalignment = in(reg) misalignment,
        rsp = out(reg) rsp,
        inout("rcx") 0x1111_2222_3333_4444u64 => _,
        inout("r11") 0x5555_6666_7777_8888u64 => _,
    );
    let trap = trap::expect(trap, UD, 0);
    let frame = trap.frame;
    assert_eq!(frame.rcx, 0x1111_2222_3333_4444, "RCX");
    assert_eq!(frame.r11, 0x5555_6666_7777_8888, "R11");
    assert_eq!(frame.rsp, rsp, "RSP");
    assert_eq!(
        frame.cs,
        u64::from(FLAT_RING3_CS64 & !3) | masked << 32,
        "CS with the event mask above"
    );
    assert_eq!(frame.ss & !3, u64::from(FLAT_RING3_SS & !3), "SS");
    let interrupt_flag = if masked == 0 { rflags::IF } else { 0 };
    assert_eq!(frame.rflags & rflags::IF, interrupt_flag, "IF");
    assert_eq!(frame.rflags & rflags::CF, rflags::CF, "CF");
    assert_eq!(frame.rflags & rflags::IOPL, 0, "IOPL");
    // RCX, R11, RIP, CS, RFLAGS, RSP and SS below the aligned stack.
    assert_eq!(trap.handler_rsp, (rsp & !15) - 7 * 8, "the handler's RSP");
    assert_eq!(trap.handler_cs, u64::from(FLAT_RING3_CS64));
    assert_eq!(trap.handler_ss, u64::from(FLAT_RING3_SS));
    assert_eq!(u64::from(trap.upcall_mask), masked, "the mask is kept");
}
