//! Who yields lets others run: a baton goes round among vCPUs that wait for it by yielding.

use super::super::prelude::*;
use crate::clock::{self, MS};
use crate::command_line;
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};

const ROUNDS: u32 = 60;
/// A machine with other work to do may take its time once, or twice.
const TRIES: u32 = 3;

static COUNT: AtomicU32 = AtomicU32::new(0);
static BATON: AtomicU32 = AtomicU32::new(0);

fn play(vcpu: VcpuId, first: u32) {
    let count = COUNT.load(SeqCst);
    for round in first..first + ROUNDS {
        let mine = round * count + vcpu.0;
        smp::wait_until("the baton", || BATON.load(SeqCst) == mine);
        BATON.store(mine + 1, SeqCst);
    }
}

fn player(vcpu: VcpuId) {
    for game in 0..TRIES {
        play(vcpu, game * ROUNDS);
    }
}

pub(crate) fn run() {
    smp::need(2);
    let count = smp::nr_vcpus().min(4);
    COUNT.store(count, SeqCst);
    for id in 1..count {
        smp::start(VcpuId(id), player);
    }
    let took: [u64; TRIES as usize] = core::array::from_fn(|game| {
        let start = clock::now_ns();
        play(VcpuId(0), game as u32 * ROUNDS);
        clock::now_ns() - start
    });
    if command_line::number("processors").is_none_or(|count| count > 1) {
        // How quickly one processor sees what another has done is not the scheduler's business.
        return;
    }
    // With a slice of time for each turn it would be twice that and more.
    let limit = u64::from(ROUNDS) * 10 * MS;
    let quickest = took.into_iter().min().unwrap_or(u64::MAX);
    assert!(quickest < limit, "{quickest} ns");
}
