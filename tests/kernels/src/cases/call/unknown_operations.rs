//! Operations of a hypercall that do not exist answer ENOSYS.

use super::super::prelude::*;
use crate::control::is_reference;
use guest_abi::grant_op::GrantTableOp;
use guest_abi::physdev::PhysdevOp;

pub(crate) fn run() {
    let argument = [0u64; 64];
    for op in [8u64, 99, 0x7fff_ffff] {
        assert_eq!(
            hypercall!(SchedOp, op, &argument),
            Err(Errno::ENOSYS),
            "sched_op {op}"
        );
    }
    for op in [15u64, 99] {
        let outcome = hypercall!(EventChannelOp, op, &argument);
        assert_eq!(outcome, Err(Errno::ENOSYS), "event_channel_op {op}");
    }
    for op in [14u64, 99] {
        let outcome = hypercall!(VcpuOp, op, 0u64, &argument);
        assert_eq!(outcome, Err(Errno::ENOSYS), "vcpu_op {op}");
    }
    for op in [13u64, 99] {
        let outcome = hypercall!(GrantTableOp, op, &argument, 1u64);
        assert_eq!(outcome, Err(Errno::ENOSYS), "grant_table_op {op}");
    }
    for op in [29u64, 63] {
        assert_eq!(
            hypercall!(MemoryOp, op, &argument),
            Err(Errno::ENOSYS),
            "memory_op {op}"
        );
    }
    for op in [11u64, 99] {
        assert_eq!(
            hypercall!(Version, op, &argument),
            Err(Errno::ENOSYS),
            "version {op}"
        );
    }
    for op in [2u64, 99] {
        let outcome = hypercall!(CallbackOp, op, &argument);
        assert_eq!(outcome, Err(Errno::ENOSYS), "callback_op {op}");
    }
    for op in [0u64, 3, 99] {
        assert_eq!(
            hypercall!(PhysdevOp, op, &argument),
            Err(Errno::ENOSYS),
            "physdev_op {op}"
        );
    }
    // Numbers that were taken, for what nobody offers.
    let outcome = hypercall!(PhysdevOp, PhysdevOp::FreeIrqVector.number(), &argument);
    assert_eq!(outcome, Err(Errno::ENOSYS), "free_irq_vector");
    let outcome = hypercall!(
        GrantTableOp,
        GrantTableOp::DumpTable.number(),
        &argument,
        1u64
    );
    assert_eq!(outcome, Err(Errno::ENOSYS), "dump_table");
    // What the reference offers and this does not.
    for op in [
        PhysdevOp::IrqUnmaskNotify,
        PhysdevOp::ApicWrite,
        PhysdevOp::PirqEoiGmfnV1,
    ] {
        if !is_reference() {
            let outcome = hypercall!(PhysdevOp, op.number(), &argument);
            assert_eq!(outcome, Err(Errno::ENOSYS), "{op:?}");
        }
    }
    for op in [GrantTableOp::SwapGrantRef, GrantTableOp::CacheFlush] {
        if !is_reference() {
            let outcome = hypercall!(GrantTableOp, op.number(), &argument, 1u64);
            assert_eq!(outcome, Err(Errno::ENOSYS), "{op:?}");
        }
    }
    for op in [2u64, 99] {
        let outcome = hypercall!(ConsoleIo, op, 1u64, &argument);
        assert_eq!(outcome, Err(Errno::ENOSYS), "console_io {op}");
    }
    for which in [4u64, 99] {
        let outcome = hypercall!(SetSegmentBase, which, 0u64);
        assert_eq!(outcome, Err(Errno::EINVAL), "set_segment_base {which}");
    }
}
