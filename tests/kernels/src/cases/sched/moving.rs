//! vCPUs that sleep and wake all the time, and so run now here and now there, keep all of their state.

use super::super::prelude::*;
use super::block;
use crate::clock::{self, MS};
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};

const ROUNDS: u64 = 150;

static DONE: AtomicU32 = AtomicU32::new(0);

fn mover(vcpu: VcpuId) {
    clock::stop_periodic_timer();
    let port = clock::bind_timer();
    let mine = 0x1111_1111_1111_1111 * u64::from(vcpu.0 + 1);
    for round in 0..ROUNDS {
        let value = mine ^ round;
        probe!("movq xmm3, {value}", "movq xmm12, {value}"; value = in(reg) value);
        event::mask_upcalls();
        let before = event::count(port);
        // Computing, in the odd rounds, until it is interrupted.
        clock::set_timer(clock::now_ns() + MS / 2);
        if round & 1 == 0 {
            while event::count(port) == before {
                block();
                event::mask_upcalls();
            }
        } else {
            event::unmask_upcalls();
            smp_spin(|| event::count(port) != before);
        }
        let (low, high): (u64, u64);
        probe!("movq {low}, xmm3", "movq {high}, xmm12"; low = out(reg) low, high = out(reg) high);
        assert_eq!((low, high), (value, value), "{vcpu:?} in round {round}");
        assert_eq!(crate::cpu::id(), vcpu, "GS base");
    }
    DONE.fetch_add(1, SeqCst);
}

fn smp_spin(mut condition: impl FnMut() -> bool) {
    while !condition() {
        core::hint::spin_loop();
    }
}

pub(crate) fn run() {
    let count = smp::nr_vcpus().min(4);
    smp::need(2);
    for id in 1..count {
        smp::start(VcpuId(id), mover);
    }
    mover(VcpuId(0));
    smp::wait_until("all to be done", || DONE.load(SeqCst) == count);
}
