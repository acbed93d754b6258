//! A flush of all vCPUs or of some takes effect on each of them before the hypercall returns.

use super::super::prelude::*;
use crate::memory::{KERNEL_RO, SPARE, Tables, entry};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use guest_abi::mmu::{MmuextOp, UVMF_ALL, UVMF_INVLPG, UVMF_TLB_FLUSH};

/// What the other vCPU must read from now on, at least.
static LEAST: AtomicU64 = AtomicU64::new(0);
static SEEN: AtomicU64 = AtomicU64::new(0);
static IS_OVER: AtomicBool = AtomicBool::new(false);
static IS_DOWN: AtomicBool = AtomicBool::new(false);

fn look(_: VcpuId) {
    while !IS_OVER.load(SeqCst) {
        let least = LEAST.load(SeqCst);
        let value: u64;
        probe!("mov {value}, [{at}]"; at = in(reg) SPARE.0, value = out(reg) value);
        assert!(value >= least, "reads {value} after the flush for {least}");
        SEEN.store(value, SeqCst);
    }
    IS_DOWN.store(true, SeqCst);
}

pub(crate) fn run() {
    smp::need(2);
    let hooked = Tables::hook(SPARE);
    let frames: [Frame; 64] = Frame::alloc_many();
    for (number, frame) in frames.into_iter().enumerate() {
        frame.write(0, number as u64);
    }
    let bitmap = [0b11u64; 4];
    let pointer = bitmap.as_ptr() as u64;
    let address = hooked.l1.word_address(0);
    assert_eq!(
        memory::set_entry(address, entry(frames[0].mfn(), KERNEL_RO)),
        Ok(0)
    );
    smp::start(VcpuId(1), look);
    for (number, frame) in frames.into_iter().enumerate().skip(1) {
        let value = entry(frame.mfn(), KERNEL_RO);
        let by_va = |flags| memory::update_va_mapping(SPARE, value, flags);
        let by_op = |op, arg1, arg2| {
            assert_eq!(memory::set_entry(address, value), Ok(0));
            memory::mmuext_two(op, arg1, arg2)
        };
        let outcome = match number % 8 {
            0 => by_va(UVMF_INVLPG | UVMF_ALL),
            1 => by_va(UVMF_TLB_FLUSH | UVMF_ALL),
            2 => by_va(UVMF_INVLPG | pointer),
            3 => by_va(UVMF_TLB_FLUSH | pointer),
            4 => by_op(MmuextOp::InvlpgAll, SPARE.0, 0),
            5 => by_op(MmuextOp::TlbFlushAll, 0, 0),
            6 => by_op(MmuextOp::InvlpgMulti, SPARE.0, pointer),
            _ => by_op(MmuextOp::TlbFlushMulti, 0, pointer),
        };
        assert_eq!(outcome, Ok(0));
        LEAST.store(number as u64, SeqCst);
        smp::wait_until("a look", || SEEN.load(SeqCst) == number as u64);
    }
    IS_OVER.store(true, SeqCst);
    smp::wait_until("the other vCPU", || IS_DOWN.load(SeqCst));
}
