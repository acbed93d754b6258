//! Hypercalls that hardly do anything.

use super::*;
use guest_abi::hypercall::Hypercall;
use guest_abi::multicall::MulticallEntry;
use guest_abi::sched_op::SchedOp;
use guest_abi::segment::FLAT_RING3_SS;
use guest_abi::version::VersionOp;

/// A number that no hypercall has.
const UNKNOWN: u64 = 63;

pub(super) fn run() {
    let mut answer = 0;
    measure(
        "hypercall of an unknown number",
        |_| (),
        |_| answer = call(UNKNOWN, [0; 4]),
    );
    assert_eq!(answer as i64, -38, "ENOSYS");
    measure(
        "xen_version",
        |_| (),
        |_| {
            answer = call(
                Hypercall::Version.number(),
                [VersionOp::Version as u64, 0, 0, 0],
            )
        },
    );
    assert_eq!(answer, 4 << 16 | 17);
    measure_call("stack_switch", Hypercall::StackSwitch, |_| {
        [
            u64::from(FLAT_RING3_SS),
            crate::cpu::entry_stack_end(VcpuId(0)),
            0,
            0,
        ]
    });
    measure_call("sched_op yield", Hypercall::SchedOp, |_| {
        [SchedOp::Yield as u64, 0, 0, 0]
    });
    // What a kernel does on its way to idle and back, and for each of its own timers.
    let ahead = crate::clock::now_ns() + 1_000_000_000;
    measure_call(
        "set_timer_op, ahead of time",
        Hypercall::SetTimerOp,
        |round| [ahead + round as u64, 0, 0, 0],
    );
    measure_call("set_timer_op, none", Hypercall::SetTimerOp, |_| [0; 4]);
    let mut list = [MulticallEntry::new_zeroed(); 8];
    for entry in &mut list {
        entry.op = Hypercall::Version.number();
        entry.args[0] = VersionOp::Version as u64;
    }
    let at = list.as_mut_ptr() as u64;
    measure_call("multicall of 8 xen_version", Hypercall::Multicall, |_| {
        [at, 8, 0, 0]
    });
    assert!(list.iter().all(|entry| entry.result == 4 << 16 | 17));
    // What a kernel does when it goes from one task to another.
    let mut list = [MulticallEntry::new_zeroed(); 2];
    list[0].op = Hypercall::StackSwitch.number();
    list[0].args[..2].copy_from_slice(&[
        u64::from(FLAT_RING3_SS),
        crate::cpu::entry_stack_end(VcpuId(0)),
    ]);
    list[1].op = Hypercall::FpuTaskswitch.number();
    list[1].args[0] = 1;
    let at = list.as_mut_ptr() as u64;
    measure_call(
        "multicall of stack_switch and fpu_taskswitch",
        Hypercall::Multicall,
        |_| [at, 2, 0, 0],
    );
    assert!(list.iter().all(|entry| entry.result == 0));
    assert_eq!(hypercall!(FpuTaskswitch, 0u64), Ok(0));
}
