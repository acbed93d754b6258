//! Locked stores into one entry from several vCPUs lose nothing, while the processor sets its own bits in
//! it.

use super::super::prelude::*;
use super::Live;
use crate::memory::DIRTY;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};

static ENTRY: AtomicU64 = AtomicU64::new(0);
static READY: AtomicU32 = AtomicU32::new(0);
static DONE: AtomicU32 = AtomicU32::new(0);
const ROUNDS: u32 = 300;

/// Each vCPU owns one software bit: it must find it as it left it.
fn toggle(vcpu: VcpuId) {
    let at = ENTRY.load(SeqCst);
    let bit = u64::from(53 + vcpu.0);
    READY.fetch_add(1, SeqCst);
    smp::wait_until("the others", || READY.load(SeqCst) >= 2);
    for round in 0..ROUNDS {
        let was: u8;
        let trap = probe!(
            "lock btc qword ptr [{at}], {bit}",
            "setc {was}";
            at = in(reg) at,
            bit = in(reg) bit,
            was = out(reg_byte) was,
        );
        assert_eq!((trap, u32::from(was)), (None, round & 1), "round {round}");
    }
    DONE.fetch_add(1, SeqCst);
}

pub(crate) fn run() {
    smp::need(2);
    let live = Live::new();
    ENTRY.store(live.at(0), SeqCst);
    smp::start(VcpuId(1), toggle);
    toggle(VcpuId(0));
    smp::wait_until("the other vCPU", || DONE.load(SeqCst) == 2);
    assert_eq!(live.read(0) | DIRTY, live.value | DIRTY);
}
