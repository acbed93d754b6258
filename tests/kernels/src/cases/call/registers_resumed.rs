//! A call that stops for a timer and is made again leaves registers alone that are none of its arguments.

use super::super::prelude::*;
use crate::clock::{self, MS};
use core::mem::offset_of;
use guest_abi::hypercall::Hypercall;
use guest_abi::mmu::{MmuUpdate, MmuUpdateType};

/// Updates in the list: as many as a page holds.
const UPDATES: usize = 4096 / size_of::<MmuUpdate>();

pub(crate) fn run() {
    clock::stop_periodic_timer();
    let port = clock::bind_timer();
    event::unmask_upcalls();
    // The same entry of the machine-to-physical table, over and over: it takes time and changes nothing.
    let list = Frame::alloc();
    let target = Frame::alloc();
    let update = memory::typed_update(
        MmuUpdateType::MachphysUpdate,
        target.mfn().address(),
        target.pfn().0,
    );
    for index in 0..UPDATES {
        list.write(2 * index + offset_of!(MmuUpdate, ptr) / 8, update.ptr);
        list.write(2 * index + offset_of!(MmuUpdate, val) / 8, update.val);
    }
    let mut heard = 0;
    for round in 0..2000u64 {
        let before = event::count(port);
        clock::set_timer(clock::now_ns() + MS / 50 + round % 50 * MS / 500);
        let mut done = 0u32;
        let result = long_list(list.va().0, &mut done);
        assert_eq!((result, done), (0, UPDATES as u32), "round {round}");
        heard += event::count(port) - before;
        smp::wait_until("the timer", || event::count(port) > before);
    }
    assert_ne!(heard, 0, "no timer has come during a list");
}

/// Carries out the list, with registers behind its arguments that must stay as they are.
fn long_list(list: u64, done: &mut u32) -> u64 {
    let result;
    let (r8, r9): (u64, u64);
    let done = core::ptr::from_mut(done);
    // SAFETY: a hypercall that reads the list and writes the count; see `hypercall::raw`.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") Hypercall::MmuUpdate.number() => result,
            inlateout("rdi") list => _,
            inlateout("rsi") UPDATES => _,
            inlateout("rdx") done => _,
            inlateout("r10") u64::from(DomId::SELF.0) => _,
            inlateout("r8") 0x8888u64 => r8,
            inlateout("r9") 0x9999u64 => r9,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    assert_eq!((r8, r9), (0x8888, 0x9999));
    result
}
