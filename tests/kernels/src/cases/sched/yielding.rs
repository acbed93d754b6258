//! Who yields lets others run: a baton goes round among vCPUs that wait for it by yielding.

use super::super::prelude::*;
use crate::clock::{self, MS};
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};

const ROUNDS: u32 = 60;

static COUNT: AtomicU32 = AtomicU32::new(0);
static BATON: AtomicU32 = AtomicU32::new(0);

fn player(vcpu: VcpuId) {
    let count = COUNT.load(SeqCst);
    for round in 0..ROUNDS {
        let mine = round * count + vcpu.0;
        smp::wait_until("the baton", || BATON.load(SeqCst) == mine);
        BATON.store(mine + 1, SeqCst);
    }
}

pub(crate) fn run() {
    smp::need(2);
    let count = smp::nr_vcpus().min(4);
    COUNT.store(count, SeqCst);
    for id in 1..count {
        smp::start(VcpuId(id), player);
    }
    player(VcpuId(0));
    let start = clock::now_ns();
    smp::wait_until("the last round", || BATON.load(SeqCst) == ROUNDS * count);
    // Not one slice for each turn.
    let took = clock::now_ns() - start;
    assert!(took < u64::from(ROUNDS) * 10 * MS, "{took} ns");
}
