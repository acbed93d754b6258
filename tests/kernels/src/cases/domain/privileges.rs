//! An ordinary domain controls nothing.

use super::super::prelude::*;
use crate::control::{DATA, Guest};

// Makes the calls that words 8, 12, 16, ... of the data page describe: number and three arguments; a number 0 ends the
// list. The results replace the numbers. Then word 0 becomes 1.
user_code!(
    calls,
    "mov r15, rsi",
    "lea r14, [rsi + 64]",
    "2: mov rax, [r14]",
    "test rax, rax",
    "jz 3f",
    "mov rdi, [r14 + 8]",
    "mov rsi, [r14 + 16]",
    "mov rdx, [r14 + 24]",
    "mov r10d, 0x7ff0",
    "syscall",
    "mov [r14], rax",
    "add r14, 32",
    "jmp 2b",
    "3: mov qword ptr [r15], 1",
    "4: pause",
    "jmp 4b",
);

pub(crate) fn run() {
    let guest = Guest::with_code(calls());
    let data = crate::control::BASE + DATA as u64 * 4096;
    let at = |word: u64| data + word * 8;
    let window = &guest.window;
    // Operations at words 200, 220, …: a pause of the first domain, a description of it, one of no domain,
    // the machine, and the platform.
    let domctl = |word: usize, cmd: u64, domain: u64| {
        window.write(DATA, word, cmd | 0x15 << 32);
        window.write(DATA, word + 1, domain);
    };
    domctl(200, 3, 0);
    domctl(220, 5, 0);
    domctl(240, 3, 77);
    domctl(260, 99, 0);
    window.write(DATA, 280, 3 | 0x15 << 32);
    window.write(DATA, 300, 62 | 0x0300_0001 << 32);
    // memory_op: the first domain's size; events: a port of the first domain's.
    window.write(DATA, 320, 0);
    window.write(DATA, 322, 0);
    let wishes: [([u64; 4], i64); 9] = [
        ([36, at(200), 0, 0], -1),
        ([36, at(220), 0, 0], -1),
        ([36, at(240), 0, 0], -3),
        ([36, at(260), 0, 0], -1),
        ([35, at(280), 0, 0], -1),
        ([7, at(300), 0, 0], -1),
        ([12, 3, at(320), 0], -1),
        ([32, 6, at(322), 0], -1),
        ([18, 0, 1, at(0)], -1),
    ];
    for (index, (call, _)) in wishes.iter().enumerate() {
        for (part, value) in call.iter().enumerate() {
            window.write(DATA, 8 + index * 4 + part, *value);
        }
    }
    guest.start();
    guest.wait_for(0, 1);
    for (index, (call, expected)) in wishes.iter().enumerate() {
        let result = window.read(DATA, 8 + index * 4) as i64;
        assert_eq!(result, *expected, "call {index}: {call:x?}");
    }
    guest.end();
}
