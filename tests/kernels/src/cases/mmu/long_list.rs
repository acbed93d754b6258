//! A list of any length is worked off, however often the hypervisor interrupts itself, and counted exactly.

use super::super::prelude::*;
use crate::memory::{KERNEL_RO, KERNEL_RW, SPARE, Tables, entry, update};
use guest_abi::hypercall::Hypercall;
use guest_abi::mmu::MmuUpdate;

static mut LIST: [MmuUpdate; 20_000] = [const { MmuUpdate { ptr: 0, val: 0 } }; 20_000];

pub(crate) fn run() {
    let port = crate::clock::bind_timer();
    event::unmask_upcalls();
    let hooked = Tables::hook(SPARE);
    let frame = Frame::alloc();
    let list = &raw mut LIST;
    // SAFETY: only this function, once, uses the list.
    let list = unsafe { &mut *list };
    for (index, slot) in list.iter_mut().enumerate() {
        let flags = if index % 2 == 0 { KERNEL_RO } else { KERNEL_RW };
        *slot = update(
            hooked.l1.word_address(index % 512),
            entry(frame.mfn(), flags),
        );
    }
    crate::clock::set_timer(crate::clock::now_ns() + crate::clock::MS / 2);
    assert_eq!(memory::mmu_update(list), (Ok(0), 20_000));
    // The registers that are no arguments stay what they are, however often the call is made anew.
    crate::clock::set_timer(crate::clock::now_ns() + crate::clock::MS / 2);
    let mut done = 0u32;
    let (mut r8, mut r9) = (0x1234_5678_9abc_def0u64, 0xfedc_ba98_7654_3210u64);
    let result: u64;
    let trap = probe!(
        "syscall";
        inout("rax") Hypercall::MmuUpdate.number() => result,
        inout("rdi") list.as_ptr() => _,
        inout("rsi") list.len() => _,
        inout("rdx") &raw mut done => _,
        inout("r10") u64::from(DomId::SELF.0) => _,
        inout("r8") r8,
        inout("r9") r9,
        out("rcx") _,
        out("r11") _,
    );
    assert_eq!((trap, result, done), (None, 0, 20_000));
    assert_eq!((r8, r9), (0x1234_5678_9abc_def0, 0xfedc_ba98_7654_3210));
    // One bad entry far behind.
    list[17_003].val = entry(Mfn(0x80_0000_0000), KERNEL_RO);
    assert_eq!(memory::mmu_update(list), (Err(Errno::EPERM), 17_003));
    smp::wait_until("the timer", || event::count(port) > 0);
}
