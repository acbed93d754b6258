//! A vCPU that sleeps and wakes finds its floating-point registers as it left them.
//!
//! With `hold=1` it goes on until something is typed: somebody looks at it meanwhile.

use super::super::prelude::*;
use crate::clock::{self, MS};
use crate::command_line;
use guest_abi::console_io::ConsoleIo;
use guest_abi::sched_op::SchedOp;

const ROUNDS: u64 = 200;

/// Whether somebody has typed something.
fn is_typed() -> bool {
    let mut buffer = [0u8; 16];
    let read = hypercall!(
        ConsoleIo,
        ConsoleIo::Read.number(),
        buffer.len(),
        &mut buffer
    );
    !matches!(read, Ok(0))
}

pub(crate) fn run() {
    /// More than anybody needs who looks.
    const HOLD_LIMIT_NS: u64 = 60_000_000_000;
    clock::stop_periodic_timer();
    let port = clock::bind_timer();
    let is_held = command_line::number("hold").is_some();
    let until = clock::now_ns() + HOLD_LIMIT_NS;
    probe!("emms", "ldmxcsr [{mxcsr}]"; mxcsr = in(reg) &0x3f80u32);
    let mut round = 0;
    loop {
        let value = 0x1234_5678_9abc_def0 ^ round;
        probe!(
            "movq xmm2, {value}",
            "movq xmm13, {value}",
            "movq mm5, {value}";
            value = in(reg) value,
        );
        event::mask_upcalls();
        let before = event::count(port);
        clock::set_timer(clock::now_ns() + MS);
        while event::count(port) == before {
            assert_eq!(hypercall!(SchedOp, SchedOp::Block.number()), Ok(0));
            event::mask_upcalls();
        }
        let (low, high, mm, mut mxcsr): (u64, u64, u64, u32) = probe_registers();
        mxcsr &= 0xffc0;
        assert_eq!((low, high, mm), (value, value, value), "round {round}");
        assert_eq!(mxcsr, 0x3f80, "round {round}");
        round += 1;
        if round == 10 {
            println!("idling");
        }
        if round.is_multiple_of(ROUNDS) {
            println!("idled {round} times");
        }
        if round >= ROUNDS && (!is_held || is_typed()) {
            break;
        }
        assert!(clock::now_ns() < until, "nobody types");
    }
    probe!("emms");
}

fn probe_registers() -> (u64, u64, u64, u32) {
    let (low, high, mm): (u64, u64, u64);
    let mut mxcsr = 0u32;
    probe!(
        "movq {low}, xmm2",
        "movq {high}, xmm13",
        "movq {mm}, mm5",
        "stmxcsr [{mxcsr}]";
        low = out(reg) low,
        high = out(reg) high,
        mm = out(reg) mm,
        mxcsr = in(reg) &mut mxcsr,
    );
    (low, high, mm, mxcsr)
}
