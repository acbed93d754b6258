//! A domain without devices reaches no port: below the level for it each access faults, and with it ones are read and
//! nothing is written.

use super::super::prelude::*;
use crate::control::{DATA, Guest, is_reference};
use crate::port;

// Asks for the level in word 1 of the data page, then goes through the list from word 8 on, of entries of 4 words: a port,
// and what is read there in 1, 2 and 4 bytes. The port is read, then 0 is written to it. A port of 0x10000 ends the list. The
// faults are counted in word 2, and what the call returned is in word 3; then word 0 becomes 1, and when it is 0, once more.
user_code!(
    uses_ports,
    "mov rbx, rsi",
    "sub rsp, 64",
    "mov dword ptr [rsp], 0xe033000d", // vector 13, and a code selector
    "mov dword ptr [rsp + 4], 0",
    "lea rax, [rip + 7f]",
    "mov [rsp + 8], rax",
    "mov qword ptr [rsp + 16], 0",
    "mov qword ptr [rsp + 24], 0",
    "xor eax, eax", // set_trap_table
    "mov rdi, rsp",
    "syscall",
    "2: mov eax, 33", // physdev_op set_iopl
    "mov edi, 6",
    "lea rsi, [rbx + 8]",
    "syscall",
    "mov [rbx + 24], rax",
    "lea rbp, [rbx + 64]",
    "3: mov rdx, [rbp]",
    "cmp rdx, 0x10000",
    "je 4f",
    "mov rax, 0x55555555",
    "in al, dx",
    "nop",
    "mov [rbp + 8], rax",
    "mov rax, 0x55555555",
    "in ax, dx",
    "mov [rbp + 16], rax",
    "mov rax, 0x55555555",
    "in eax, dx",
    "nop",
    "mov [rbp + 24], rax",
    "xor eax, eax",
    "out dx, al",
    "nop",
    "out dx, ax",
    "out dx, eax",
    "nop",
    "add rbp, 32",
    "jmp 3b",
    "4: mov qword ptr [rbx], 1",
    "5: mov eax, 29", // sched_op yield
    "xor edi, edi",
    "syscall",
    "cmp qword ptr [rbx], 0",
    "jne 5b",
    "jmp 2b",
    // Each of the instructions is two bytes long, with what is behind it.
    "7: inc qword ptr [rbx + 16]",
    "pop rcx",
    "pop r11",
    "add qword ptr [rsp + 8], 2",
    "mov qword ptr [rsp], 0", // flags, in the place of the error code
    "push rcx",
    "push r11",
    "push rax",
    "mov eax, 23", // iret
    "syscall",
);

/// First word of the list, and words of an entry.
const LIST: usize = 8;
const ENTRY: usize = 4;
/// Interrupt controller, keyboard, delay, serial line, disk, screen, and the end of all.
const PORTS: [u16; 8] = [0x20, 0x60, 0x64, 0x80, 0x3f8, 0x1f0, 0x3d4, 0xffff];
/// What the reference makes up for everybody: interval timer, its gate, the clock, and configuration space.
const MADE_UP_BY_REFERENCE: [u16; 5] = [0x42, 0x61, 0x70, 0xcf8, 0xcfc];
/// A byte of the chip set's that keeps what is written: the status that goes with commands to the firmware.
const SCRATCH: u16 = 0xb3;
const LEFT: u8 = 0xa6;

pub(crate) fn run() {
    port::init();
    port::write_u8(SCRATCH, LEFT);
    assert_eq!(port::read_u8(SCRATCH), LEFT, "it does not keep anything");
    let made_up = MADE_UP_BY_REFERENCE.iter().filter(|_| !is_reference());
    let guest = Guest::with_code(uses_ports());
    let mut count = 0;
    for port in PORTS.iter().chain(made_up).chain([&SCRATCH]) {
        guest
            .window
            .write(DATA, LIST + count * ENTRY, u64::from(*port));
        count += 1;
    }
    guest.window.write(DATA, LIST + count * ENTRY, 0x1_0000);
    let read =
        |entry: usize| [1, 2, 3].map(|width| guest.window.read(DATA, LIST + entry * ENTRY + width));
    guest.start();
    for (level, faults, found) in [
        (0, 6 * count as u64, [0x5555_5555; 3]),
        (1, 0, [0x5555_55ff, 0x5555_ffff, 0xffff_ffff]),
    ] {
        if level != 0 {
            guest.window.write(DATA, 1, level);
            guest.window.write(DATA, 2, 0);
            guest.window.write(DATA, 0, 0);
        }
        guest.wait_for(0, 1);
        assert_eq!(guest.window.read(DATA, 3), 0, "level {level} is refused");
        assert_eq!(
            guest.window.read(DATA, 2),
            faults,
            "faults at level {level}"
        );
        for entry in 0..count {
            assert_eq!(read(entry), found, "entry {entry} at level {level}");
        }
        assert_eq!(port::read_u8(SCRATCH), LEFT, "written at level {level}");
    }
    guest.end();
}
