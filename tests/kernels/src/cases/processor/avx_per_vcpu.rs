//! Each vCPU has the upper halves of the AVX registers for itself, and a register of states of its own.

use super::super::prelude::*;
use crate::cpu::cpuid;
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};

static DONE: AtomicU32 = AtomicU32::new(0);
const ROUNDS: u32 = 300;

fn own_registers(vcpu: VcpuId) {
    let states = if vcpu.0 == 2 { 3u32 } else { 7 };
    let trap = probe!(
        "mov {cr4}, cr4",
        "or {cr4}, 0x40000",
        "mov cr4, {cr4}",
        "xor ecx, ecx",
        "xor edx, edx",
        "xsetbv";
        cr4 = out(reg) _,
        in("eax") states,
        out("ecx") _,
        out("edx") _,
    );
    assert_eq!(trap, None);
    let own = [u64::from(vcpu.0 + 1) * 0x1111; 4];
    for round in 0..ROUNDS {
        let mut found = [0u64; 4];
        let found_states: u32;
        if states & 4 != 0 {
            probe!("vmovdqu ymm7, [{own}]"; own = in(reg) &own);
        }
        let _ = hypercall!(SchedOp, 0u64);
        let trap = probe!("xgetbv"; in("ecx") 0, out("eax") found_states, out("edx") _);
        assert_eq!(
            (trap, found_states),
            (None, states),
            "{vcpu:?} round {round}"
        );
        if states & 4 != 0 {
            let trap = probe!("vmovdqu [{found}], ymm7"; found = in(reg) &mut found);
            assert_eq!((trap, found), (None, own), "{vcpu:?} round {round}");
        } else {
            trap::expect(
                probe!("vmovdqu [{found}], ymm7"; found = in(reg) &mut found),
                UD,
                0,
            );
        }
    }
    DONE.fetch_add(1, SeqCst);
}

pub(crate) fn run() {
    smp::need(2);
    let [_, _, c, _] = cpuid(1, 0);
    // XSAVE and AVX.
    if c & (1 << 26 | 1 << 28) != 1 << 26 | 1 << 28 {
        skip!("AVX is not shown");
    }
    let count = smp::nr_vcpus();
    for vcpu in 1..count {
        smp::start(VcpuId(vcpu), own_registers);
    }
    own_registers(VcpuId(0));
    smp::wait_until("the others", || DONE.load(SeqCst) == count);
}
