//! A domain is destroyed in the middle of its own long work on page tables, and nothing of it is left.

use super::super::prelude::*;
use crate::control::{self, DATA, FRAMES, Guest, Window, control, exists, free_frames, populate};
use crate::memory::{KERNEL_RO, KERNEL_RW, TABLE, entry};
use guest_abi::domctl::DomctlOp;
use guest_abi::domctl_memory::MaxMem;

/// Level-1 tables of the tree that the guest pins and unpins.
const TABLES: usize = 120;
/// More frames: a root, and a table of each level between.
const MORE: usize = TABLES + 3;
/// Where they are mapped while they are filled.
const AT: usize = 64;

// Pins and unpins the frame in word 2 of the data page as a root, for ever, and counts.
user_code!(
    pins_for_ever,
    "mov rbx, rsi",
    "2: mov qword ptr [rbx + 8], 3",
    "call 3f",
    "mov qword ptr [rbx + 8], 4",
    "call 3f",
    "inc qword ptr [rbx]",
    "jmp 2b",
    "3: mov eax, 26",
    "lea rdi, [rbx + 8]",
    "mov esi, 1",
    "xor edx, edx",
    "mov r10d, 0x7ff0",
    "syscall",
    "test rax, rax",
    "jz 4f",
    "ud2",
    "4: ret",
);

/// Gives the guest the tree.
fn add_tree(guest: &Guest) {
    let most = MaxMem {
        max_memkb: 4 * (FRAMES + MORE) as u64,
    };
    assert_eq!(control(DomctlOp::MaxMem, guest.id, &most), Ok(0));
    let mut more: [u64; MORE] = core::array::from_fn(|index| (FRAMES + index) as u64);
    assert_eq!(populate(guest.id, &mut more), Ok(MORE as u64));
    for (first, piece) in (0..MORE).step_by(64).zip(more.chunks(64)) {
        let mut entries = [0; 64];
        for (to, mfn) in entries.iter_mut().zip(piece) {
            *to = entry(Mfn(*mfn), KERNEL_RW);
        }
        let (outcome, _) = guest
            .window
            .map(guest.id, AT + first, &entries[..piece.len()]);
        assert_eq!(outcome, Ok(0));
    }
    guest.window.write(AT, 0, entry(Mfn(more[1]), TABLE));
    guest.window.write(AT + 1, 0, entry(Mfn(more[2]), TABLE));
    let leaf = entry(Mfn(guest.frames[DATA]), KERNEL_RO);
    for table in 0..TABLES {
        guest
            .window
            .write(AT + 2, table, entry(Mfn(more[3 + table]), TABLE));
        for slot in 0..512 {
            guest.window.write(AT + 3 + table, slot, leaf);
        }
    }
    for first in (0..MORE).step_by(64) {
        let count = (MORE - first).min(64);
        let (outcome, _) = guest.window.map(DomId::SELF, AT + first, &[0; 64][..count]);
        assert_eq!(outcome, Ok(0));
    }
    guest.window.write(DATA, 2, more[0]);
}

pub(crate) fn run() {
    let window = Window::new();
    let mut before = 0;
    for cycle in 0..12u64 {
        let guest = Guest::empty_in(window, 1);
        guest.build(pins_for_ever());
        add_tree(&guest);
        assert_eq!(guest.set_context(0, &guest.context(0)), Ok(0));
        guest.start();
        smp::wait_until("the guest", || window.read(DATA, 0) > cycle % 3);
        assert_eq!(control::simple(DomctlOp::DestroyDomain, guest.id), Ok(0));
        window.clear(FRAMES);
        assert!(!exists(guest.id), "cycle {cycle}");
        if cycle == 3 {
            before = free_frames();
        }
    }
    let left = before.abs_diff(free_frames());
    let most = if control::is_reference() { 512 } else { 0 };
    assert!(left <= most, "{left} frames are gone");
}
