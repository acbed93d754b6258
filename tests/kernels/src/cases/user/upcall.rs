//! An event interrupts user mode with its registers as they were, and the kernel's return goes on there.

use super::super::prelude::*;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

user_code!(user_endless, "2: inc rcx", "jmp 2b");

static SEEN: AtomicU64 = AtomicU64::new(0);

fn handle(trap: &mut trap::Trap) {
    event::dispatch();
    let frame = &mut trap.frame;
    assert!(frame.is_user());
    assert_eq!((frame.rax, frame.r11), (0x77, 0x99));
    assert_eq!(trap.upcall_mask, 1);
    assert_eq!(frame.cs >> 32, 0, "the mask before");
    assert_eq!(frame.rflags & rflags::IF, rflags::IF);
    if SEEN.fetch_add(1, SeqCst) == 0 {
        // Let it go on; the next timer comes soon.
        crate::clock::set_timer(crate::clock::now_ns() + 5 * crate::clock::MS);
    } else {
        frame.rip = user::code(user_done()).0;
    }
}

user_code!(user_done, "syscall");

pub(crate) fn run() {
    user::load_new();
    let port = crate::clock::bind_timer();
    trap::set_handler(trap::EVENT, handle);
    crate::clock::set_timer(crate::clock::now_ns() + 5 * crate::clock::MS);
    let mut registers = user::registers(user_endless());
    (registers.rax, registers.r11) = (0x77, 0x99);
    let trap = user::enter(&registers);
    assert_eq!(trap.frame.vector, trap::SYSCALL);
    assert!(SEEN.load(SeqCst) >= 2 && event::count(port) >= 2);
}
