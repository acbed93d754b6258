//! SYSCALL in user mode enters the kernel at its callback, with the frame of an exception and no error
//! code: the return address in RCX and RIP, the flags in R11.

use super::super::prelude::*;
use crate::cpu;
use guest_abi::segment::{FLAT_RING3_CS64, FLAT_RING3_SS};

user_code!(syscall_plain, "syscall", "ud2");

pub(crate) fn run() {
    let space = user::load_new();
    let mut registers = user::registers(syscall_plain());
    for (number, register) in [
        &mut registers.rax,
        &mut registers.rbx,
        &mut registers.rdx,
        &mut registers.rsi,
        &mut registers.rdi,
        &mut registers.rbp,
        &mut registers.r8,
        &mut registers.r9,
        &mut registers.r10,
        &mut registers.r12,
        &mut registers.r13,
        &mut registers.r14,
        &mut registers.r15,
    ]
    .into_iter()
    .enumerate()
    {
        *register = 0x1111_0000_2222_0000 + number as u64;
    }
    // The second time the other stack is in use, so that a stale one would show.
    for _ in 0..2 {
        let trap = user::enter(&registers);
        let frame = trap.frame;
        let expected = trap::Frame {
            vector: trap::SYSCALL,
            rip: registers.rip + 2,
            rcx: registers.rip + 2,
            r11: registers.rflags,
            cs: u64::from(FLAT_RING3_CS64),
            ss: u64::from(FLAT_RING3_SS),
            ..registers
        };
        assert_eq!(frame, expected);
        assert_eq!(trap.handler_rsp, cpu::entry_stack_end(VcpuId(0)) - 7 * 8);
        assert_eq!(trap.handler_cs, u64::from(FLAT_RING3_CS64));
        assert_eq!(trap.handler_ss, u64::from(FLAT_RING3_SS));
        assert_eq!(trap.upcall_mask, 1, "the callback asks for it");
    }
    assert_eq!(space.data.read(0), 0);
}
