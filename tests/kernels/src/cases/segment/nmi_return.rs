//! The hypervisor's own NMIs come while a vCPU runs on a code segment that another vCPU takes away: the way back
//! from them can fail, and that is the guest's exception like any other.

use super::super::prelude::*;
use super::load_gdt;
use crate::clock::{self, now_ns};
use crate::cpu;
use crate::trap::rflags;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};
use guest_abi::segment::{FLAT_RING3_CS64, FLAT_RING3_SS};

/// 64-bit code of level 3.
const CODE: u64 = 0x00af_fb00_0000_ffff;
const SLOT: usize = 8;
const SELECTOR: u64 = (SLOT as u64) << 3 | 3;
/// The watchdog has twenty NMIs a second on each processor.
const FOR_NS: u64 = 3_000 * clock::MS;

static TABLE: AtomicU64 = AtomicU64::new(0);
static IS_OVER: AtomicBool = AtomicBool::new(false);
static ROUNDS: AtomicU32 = AtomicU32::new(0);
static FAULTS: AtomicU32 = AtomicU32::new(0);

/// The stay on the segment ends, whatever ended it.
fn leave(trap: &mut trap::Trap) {
    let fixup = cpu::this().fixup.take();
    assert_ne!(fixup, 0, "{trap:?}");
    FAULTS.fetch_add(1, SeqCst);
    let frame = &mut trap.frame;
    frame.rip = fixup;
    frame.cs = u64::from(FLAT_RING3_CS64) & !3;
    frame.ss = u64::from(FLAT_RING3_SS);
    frame.rsp = cpu::this().probe_rsp.get();
    frame.rflags = rflags::ALWAYS | rflags::IF;
}

/// Runs on the segment, again and again.
fn stay(_: VcpuId) {
    assert_eq!(load_gdt(guest_abi::ids::Mfn(TABLE.load(SeqCst))), Ok(0));
    while !IS_OVER.load(SeqCst) {
        let _ = probe!(
            "push {selector}",
            "lea {scratch}, [rip + 2f]",
            "push {scratch}",
            "retfq",
            "2:",
            "dec {rounds}",
            "jnz 2b",
            "push {flat}",
            "lea {scratch}, [rip + 3f]",
            "push {scratch}",
            "retfq",
            "3:";
            selector = const SELECTOR,
            flat = const FLAT_RING3_CS64,
            scratch = out(reg) _,
            rounds = inout(reg) 2_000_000u64 => _,
        );
        ROUNDS.fetch_add(1, SeqCst);
    }
}

pub(crate) fn run() {
    smp::need(2);
    let table = Frame::alloc();
    table.write(SLOT, CODE);
    memory::make_readonly(table);
    TABLE.store(table.mfn().0, SeqCst);
    for vector in [11, 12, 13] {
        trap::set_handler(vector, leave);
    }
    smp::start(VcpuId(1), stay);
    let update = |value: u64| hypercall!(UpdateDescriptor, table.word_address(SLOT), value);
    let end = now_ns() + FOR_NS;
    let mut step = 0u64;
    while now_ns() < end {
        // Long enough for an NMI in between, short enough for many tries.
        let until = now_ns() + (1 + step % 7) * clock::MS;
        while now_ns() < until {
            core::hint::spin_loop();
        }
        let value = if step.is_multiple_of(2) { 0 } else { CODE };
        assert_eq!(update(value), Ok(0));
        step += 1;
    }
    assert_eq!(update(CODE), Ok(0));
    IS_OVER.store(true, SeqCst);
    let faults = FAULTS.load(SeqCst);
    assert!(
        faults > 0,
        "the segment was never missed, in {} stays",
        ROUNDS.load(SeqCst)
    );
}
