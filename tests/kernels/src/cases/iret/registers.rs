//! An iret to the kernel sets what its frame holds and keeps everything else.

use super::super::prelude::*;
use guest_abi::hypercall::Hypercall;

pub(crate) fn run() {
    for interrupt_flag in [rflags::IF, 0] {
        event::mask_upcalls();

        let (rax, rcx, r11, rdx, rflags): (u64, u64, u64, u64, u64);
        let trap = probe!(
            "mov r8, rsp",
            "push 0xe02b",
            "push r8",
            "push {rflags}",
            "push 0xe030",
            "lea r9, [rip + 75f]",
            "push r9",
            "push 0",
            "push 0x33",
            "push 0x44",
            "push 0x55",
            "syscall",
            "ud2",
            "75: pushfq",
            "pop r9",
            "sub r8, rsp";
            rflags = in(reg) interrupt_flag | rflags::CF | rflags::ALWAYS,
            inout("rax") Hypercall::Iret.number() => rax,
            out("rcx") rcx,
            out("r11") r11,
            inout("rdx") 0xddu64 => rdx,
            out("r8") _,
            out("r9") rflags,
        );
        let frame: [u64; 3] = [rax, rcx, r11];
        assert_eq!((trap, frame, rdx), (None, [0x55, 0x33, 0x44], 0xdd));
        assert_eq!(rflags & rflags::CF, rflags::CF);
        assert_eq!(rflags & rflags::IF, rflags::IF, "the processor's own flag");
        let mask = u8::from(interrupt_flag == 0);
        assert_eq!(event::vcpu_info().upcall_mask(), mask, "the virtual one");
    }
}
