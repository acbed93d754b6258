//! A data breakpoint on the operand of a MOV SS, which a processor may report one instruction late: behind one that enters the
//! hypervisor, on whatever stack that begins. Whether it is late (QEMU's emulation never is) or on time, the guest goes on.

use super::super::prelude::*;
use guest_abi::segment::FLAT_RING3_SS;

user_code!(then_syscall, "mov ss, [rdi]", "syscall", "ud2");
user_code!(then_int3, "mov ss, [rdi]", "int3", "ud2");
user_code!(then_int80, "mov ss, [rdi]", "int 0x80", "ud2");
user_code!(then_undefined, "mov ss, [rdi]", "ud2");
user_code!(then_refused, "mov ss, [rdi]", "hlt", "ud2");
user_code!(then_page_fault, "mov ss, [rdi]", "mov rax, [rsi]", "ud2");

/// Rounds, for an interrupt may come between.
const ROUNDS: u64 = 50;
/// Length of the MOV.
const MOV: u64 = 2;
/// In DR7: the first register, two bytes, read or written.
const ON: u64 = 0b0111 << 16 | 1;

pub(crate) fn run() {
    let space = user::load_new();
    space.data.write(2, u64::from(FLAT_RING3_SS));
    let operand = user::DATA.0 + 16;
    assert_eq!(hypercall!(SetDebugreg, 0u64, operand), Ok(0));
    assert_eq!(hypercall!(SetDebugreg, 7u64, ON), Ok(0));
    let ways = [
        (then_syscall(), trap::SYSCALL),
        (then_int3(), BP),
        (then_int80(), 0x80),
        (then_undefined(), UD),
        (then_refused(), GP),
        (then_page_fault(), PF),
    ];
    let mut on_time = 0;
    for _ in 0..ROUNDS {
        for (code, vector) in ways {
            let mut registers = user::registers(code);
            (registers.rdi, registers.rsi) = (operand, user::HOLE.0);
            let mut frame = user::enter(&registers).frame;
            if frame.vector == DB {
                assert_eq!(frame.rip, registers.rip + MOV);
                on_time += 1;
                registers.rip = frame.rip;
                frame = user::enter(&registers).frame;
            }
            assert_eq!(frame.vector, vector);
            assert_eq!((frame.rdi, frame.rsi), (operand, user::HOLE.0));
            assert!(frame.is_user());
        }
    }
    println!(
        "{on_time} of {} were told on time",
        ROUNDS * ways.len() as u64
    );
}
