//! Stores into its page tables are carried out for a domain that has asked for that, and are page faults of another.

use super::super::prelude::*;
use crate::control::{BASE, DATA, FRAMES, Guest, L1};
use guest_abi::hypercall::Hypercall;
use guest_abi::ids::PAGE_SIZE;
use guest_abi::sched_op::ShutdownReason;
use guest_abi::vm_assist::{VmAssist, VmAssistCommand};

/// What it is told in its data page: the assist's command, where it stores, and what.
const COMMAND: usize = 1;
const PLACE: usize = 2;
const VALUE: usize = 3;
/// What it answers: that it is about to store, and that it has.
const ASSISTED: usize = 4;
const STORED: usize = 5;

user_code!(
    stores_into_table,
    "mov rbx, rsi",
    "cmp qword ptr [rbx + 8], -1", // COMMAND
    "je 3f",
    "mov eax, {vm_assist}",
    "mov rdi, [rbx + 8]",
    "mov esi, {writable}",
    "syscall",
    "test rax, rax",
    "jnz 2f",
    "3: mov qword ptr [rbx + 4 * 8], 1", // ASSISTED
    "mov rcx, [rbx + 2 * 8]",            // PLACE
    "mov rdx, [rbx + 3 * 8]",            // VALUE
    "mov [rcx], rdx",
    "mov qword ptr [rbx + 5 * 8], 1", // STORED
    "2: pause",
    "jmp 2b";
    vm_assist = const Hypercall::VmAssist.number(),
    writable = const VmAssist::WritablePagetables.number(),
);

/// A domain that gives the command and then clears the entry that maps its last frame.
fn stores_after(command: Option<VmAssistCommand>) -> Guest {
    const LAST: usize = FRAMES - 1;
    let guest = Guest::with_code(stores_into_table());
    let command = command.map_or(u64::MAX, |command| command.number().into());
    let place = BASE + (L1 * PAGE_SIZE + LAST * 8) as u64;
    for (word, value) in [(COMMAND, command), (PLACE, place), (VALUE, 0)] {
        guest.window.write(DATA, word, value);
    }
    assert_ne!(guest.window.read(L1, LAST), 0);
    guest.start();
    guest.wait_for(ASSISTED, 1);
    guest
}

pub(crate) fn run() {
    const LAST: usize = FRAMES - 1;
    let guest = stores_after(Some(VmAssistCommand::Enable));
    guest.wait_for(STORED, 1);
    assert_eq!(guest.window.read(L1, LAST), 0);
    guest.end();
    for command in [None, Some(VmAssistCommand::Disable)] {
        let guest = stores_after(command);
        // It has no handler for its page fault.
        assert_eq!(
            guest.wait_for_end(),
            ShutdownReason::Crash as u8,
            "{command:?}"
        );
        assert_eq!(guest.window.read(DATA, STORED), 0);
        assert_ne!(guest.window.read(L1, LAST), 0);
        guest.end();
    }
}
