//! A selector that another vCPU has made bad can't be loaded when its vCPU runs again: the kernel is told by
//! the failsafe callback, with the selectors that it had.

use super::super::prelude::*;
use super::{data, load_gdt};
use crate::clock::{self, MS};
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
use guest_abi::hypercall::Hypercall;

const SELECTOR: u64 = 5 << 3 | 3;

static TABLE: AtomicU64 = AtomicU64::new(0);
/// DS, ES, FS and GS as the callback got them.
static FOUND: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];

/// The frame has the four selectors where others have the rest, which then follows.
fn note(trap: &mut trap::Trap) {
    let frame = &mut trap.frame;
    let selectors = [frame.rip, frame.cs, frame.rflags, frame.rsp];
    for (place, selector) in FOUND.iter().zip(selectors) {
        place.store(selector, SeqCst);
    }
    // RCX, R11 and the selectors come before what others have.
    let pushed = (trap.handler_rsp as *const u64).wrapping_add(6);
    // SAFETY: the stack of this entry, on which the hypervisor has just pushed that much.
    let [rip, cs, flags, rsp, ss] =
        core::array::from_fn(|index| unsafe { pushed.add(index).read_volatile() });
    (frame.rip, frame.cs, frame.rflags) = (rip, cs, flags);
    (frame.rsp, frame.ss) = (rsp, ss);
}

fn spoil(_: VcpuId) {
    assert_eq!(smp::pin_override(0), Ok(0));
    let at = TABLE.load(SeqCst) + 5 * 8;
    assert_eq!(hypercall!(UpdateDescriptor, at, 0u64), Ok(0));
    loop {
        let _ = hypercall!(SchedOp, 0u64);
    }
}

pub(crate) fn run() {
    smp::need(2);
    assert_eq!(smp::pin_override(0), Ok(0));
    trap::set_handler(trap::FAILSAFE, note);
    let table = Frame::alloc();
    table.write(5, data(0, 3));
    memory::make_readonly(table);
    assert_eq!(load_gdt(table.mfn()), Ok(0));
    TABLE.store(table.mfn().address(), SeqCst);
    assert_eq!(
        probe!("mov ds, {sel:e}", "mov fs, {sel:e}"; sel = in(reg) SELECTOR),
        None
    );
    smp::start(VcpuId(1), spoil);
    // Both are on the same processor, and take turns.
    let deadline = clock::now_ns() + 10_000 * MS;
    while FOUND[0].load(SeqCst) == 0 && clock::now_ns() < deadline {
        probe!(
            "syscall";
            inout("rax") Hypercall::SchedOp.number() => _,
            inout("rdi") 0u64 => _,
            inout("rsi") 0u64 => _,
            out("rcx") _,
            out("r11") _,
        );
    }
    let found: [u64; 4] = core::array::from_fn(|index| FOUND[index].load(SeqCst));
    assert_eq!(found, [SELECTOR, 0, SELECTOR, 0]);
    let (ds, fs): (u64, u64);
    probe!("mov {ds:e}, ds", "mov {fs:e}, fs"; ds = out(reg) ds, fs = out(reg) fs);
    assert_eq!([ds, fs], [0; 2]);
}
