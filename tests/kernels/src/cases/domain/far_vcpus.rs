//! A vCPU for which the shared page has no `vcpu_info`: until its domain has registered one it has none, so that what is
//! sent to it reaches nobody else, and it can't be set up. The one that it gets is that of a vCPU to which nothing has happened.

use super::super::prelude::*;
use crate::control::{DATA, Guest, SHARED, is_reference};
use crate::memory::{KERNEL_RW, entry};

/// The first of them.
const FAR: u32 = 32;
/// Words of the data page: the results of the calls below, what vCPU 32's frame is, and where in it its information is.
const RESULTS: [(usize, i64, &str); 4] = [
    (1, 0, "bind_ipi"),
    (2, 0, "send"),
    (3, Errno::EINVAL as i64, "initialise"),
    (4, 0, "register_vcpu_info"),
];
const FRAME: usize = 32;
const INFO: usize = 64;

user_code!(
    sends_to_far_vcpu,
    "mov r15, rsi",
    "mov dword ptr [r15 + 64], 32",
    "mov eax, 32", // event_channel_op
    "mov edi, 7",  // bind_ipi
    "lea rsi, [r15 + 64]",
    "syscall",
    "mov [r15 + 8], rax",
    "mov ecx, [r15 + 68]",
    "mov [r15 + 128], ecx",
    "mov eax, 32",
    "mov edi, 4", // send
    "lea rsi, [r15 + 128]",
    "syscall",
    "mov [r15 + 16], rax",
    "mov eax, 24",  // vcpu_op
    "xor edi, edi", // initialise
    "mov esi, 32",
    "mov rdx, r15",
    "syscall",
    "mov [r15 + 24], rax",
    "mov qword ptr [r15 + 264], 512", // the offset, behind the frame's number
    "mov eax, 24",
    "mov edi, 10", // register_vcpu_info
    "mov esi, 32",
    "lea rdx, [r15 + 256]",
    "syscall",
    "mov [r15 + 32], rax",
    "mov qword ptr [r15], 1",
    "4: mov eax, 29", // sched_op yield
    "xor edi, edi",
    "syscall",
    "jmp 4b",
);

pub(crate) fn run() {
    let guest = Guest::empty(FAR + 1);
    guest.build(sends_to_far_vcpu());
    assert_eq!(guest.set_context(0, &guest.context(0)), Ok(0));
    if !is_reference() {
        let refused = guest.set_context(FAR, &guest.context(FAR));
        assert_eq!(refused, Err(Errno::EINVAL), "it would run without one");
    }
    guest.window.write(DATA, FRAME, guest.frames[DATA]);
    guest.start();
    guest.wait_for(0, 1);
    for (word, wanted, call) in RESULTS {
        let wanted = if wanted == 0 { 0 } else { -wanted };
        assert_eq!(guest.window.read(DATA, word) as i64, wanted, "{call}");
    }
    let shared = entry(Mfn(guest.info().shared_info_frame), KERNEL_RW);
    assert_eq!(guest.window.map(guest.id, SHARED, &[shared]).0, Ok(0));
    // The first vCPU's: its flags, and its selector.
    assert_eq!(guest.window.read(SHARED, 0) & 0xff, 0, "pending");
    assert_eq!(guest.window.read(SHARED, 1), 0, "selector");
    assert_eq!(guest.window.map(guest.id, SHARED, &[0]).0, Ok(0));
    // It is pending, as an event may have been lost, and masked.
    assert_eq!(guest.window.read(DATA, INFO) & 0xffff, 0x101, "flags");
    assert_eq!(guest.window.read(DATA, INFO + 1), u64::MAX, "selector");
    guest.end();
}
