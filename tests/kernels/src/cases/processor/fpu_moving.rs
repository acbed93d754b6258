//! vCPUs that yield, sleep, compute and go from processor to processor never see each other's floating-point
//! registers.

use super::super::prelude::*;
use crate::clock::{self, MS};
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};
use guest_abi::sched_op::SchedOp;

const ROUNDS: u64 = 160;

static DONE: AtomicU32 = AtomicU32::new(0);

fn yield_once() {
    let _ = hypercall!(SchedOp, SchedOp::Yield.number());
}

fn mover(vcpu: VcpuId) {
    clock::stop_periodic_timer();
    let port = clock::bind_timer();
    let mxcsr = 0x1f80 | vcpu.0 << 13;
    for round in 0..ROUNDS {
        let value = (0x0101_0101_0101_0101 * u64::from(vcpu.0 + 1)) ^ (round << 56);
        let trap = probe!(
            "fninit",
            "ldmxcsr [{mxcsr}]",
            "movq xmm0, {value}",
            "movq xmm8, {value}",
            "movq mm7, {value}";
            mxcsr = in(reg) &mxcsr,
            value = in(reg) value,
        );
        assert_eq!(trap, None);
        let is_pinned = match round % 4 {
            0 => {
                yield_once();
                false
            }
            1 => {
                event::mask_upcalls();
                let before = event::count(port);
                clock::set_timer(clock::now_ns() + MS / 4);
                while event::count(port) == before {
                    assert_eq!(hypercall!(SchedOp, SchedOp::Block.number()), Ok(0));
                    event::mask_upcalls();
                }
                false
            }
            // To a processor that there may be, where others are.
            2 => {
                let is_pinned = smp::pin_override((round / 4 % 4) as i32) == Ok(0);
                yield_once();
                is_pinned
            }
            _ => false,
        };
        let (low, high, mm): (u64, u64, u64);
        let mut found_mxcsr = 0u32;
        probe!(
            "movq {low}, xmm0",
            "movq {high}, xmm8",
            "movq {mm}, mm7",
            "stmxcsr [{mxcsr}]",
            "emms";
            low = out(reg) low,
            high = out(reg) high,
            mm = out(reg) mm,
            mxcsr = in(reg) &mut found_mxcsr,
        );
        assert_eq!(
            (low, high, mm, found_mxcsr & 0xffc0),
            (value, value, value, mxcsr),
            "{vcpu:?} in round {round}"
        );
        if is_pinned {
            assert_eq!(smp::pin_override(-1), Ok(0));
        }
    }
    DONE.fetch_add(1, SeqCst);
}

pub(crate) fn run() {
    smp::need(2);
    let count = smp::nr_vcpus().min(4);
    for id in 1..count {
        smp::start(VcpuId(id), mover);
    }
    mover(VcpuId(0));
    smp::wait_until("all to be done", || DONE.load(SeqCst) == count);
}
