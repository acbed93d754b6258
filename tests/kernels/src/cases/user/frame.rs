//! An exception in user mode arrives on the kernel's stack with exactly the frame that the ABI draws.

use super::super::prelude::*;
use crate::cpu;
use guest_abi::segment::{FLAT_RING3_CS64, FLAT_RING3_SS};

user_code!(undefined, "stc", "nop", "ud2");

pub(crate) fn run() {
    user::load_new();
    let mut registers = user::registers(undefined());
    registers.rcx = 0x1111_2222_3333_4444;
    registers.r11 = 0x5555_6666_7777_8888;
    registers.rax = 7;
    registers.r15 = 15;
    registers.rsp -= 0x123;
    for rflags in [rflags::ALWAYS | rflags::IF, rflags::ALWAYS] {
        registers.rflags = rflags;
        let trap = user::enter(&registers);
        // Without IF events are masked, in user mode too: the frame says so in two places.
        let mask = u64::from(rflags & rflags::IF == 0);
        let expected = trap::Frame {
            vector: UD,
            rip: registers.rip + 2,
            cs: u64::from(FLAT_RING3_CS64) | mask << 32,
            rflags: rflags | rflags::CF,
            ss: u64::from(FLAT_RING3_SS),
            ..registers
        };
        // The resume flag is the processor's business.
        let found = trap::Frame {
            rflags: trap.frame.rflags & !rflags::RF,
            ..trap.frame
        };
        assert_eq!(found, expected);
        assert_eq!(trap.handler_rsp, cpu::entry_stack_end(VcpuId(0)) - 7 * 8);
        assert_eq!(trap.handler_cs, u64::from(FLAT_RING3_CS64));
        assert_eq!(trap.handler_ss, u64::from(FLAT_RING3_SS));
        assert_eq!(u64::from(trap.upcall_mask), mask);
    }
}
