//! The hypercalls that change page tables.

use crate::hypercall::{Outcome, hypercall};
use guest_abi::ids::{DomId, Mfn, Vaddr};
use guest_abi::mmu::{MmuUpdate, MmuUpdateType, MmuextOp, MmuextOperation};
use zerocopy::FromZeros;

/// `update_va_mapping` with flags of the flush.
pub(crate) fn update_va_mapping(va: Vaddr, entry: u64, flags: u64) -> Outcome {
    hypercall!(UpdateVaMapping, va, entry, flags)
}

/// `mmu_update` on the domain's own tables and frames. The number is that of the updates done.
pub(crate) fn mmu_update(updates: &[MmuUpdate]) -> (Outcome, u32) {
    let mut done = u32::MAX;
    let outcome = hypercall!(MmuUpdate, updates, updates.len(), &mut done, DomId::SELF);
    (outcome, done)
}

/// Sets one entry, given by its machine address.
pub(crate) fn set_entry(address: u64, entry: u64) -> Outcome {
    mmu_update(&[update(address, entry)]).0
}

/// An update of the ordinary kind.
pub(crate) fn update(address: u64, entry: u64) -> MmuUpdate {
    typed_update(MmuUpdateType::NormalPtUpdate, address, entry)
}

/// An update of any kind.
pub(crate) fn typed_update(kind: MmuUpdateType, address: u64, val: u64) -> MmuUpdate {
    MmuUpdate {
        ptr: address | kind.number(),
        val,
    }
}

/// `mmuext_op`. The number is that of the operations done.
pub(crate) fn mmuext(operations: &[MmuextOperation]) -> (Outcome, u32) {
    let mut done = u32::MAX;
    let outcome = hypercall!(
        MmuextOp,
        operations,
        operations.len(),
        &mut done,
        DomId::SELF
    );
    (outcome, done)
}

/// One operation with a frame.
pub(crate) fn mmuext_one(op: MmuextOp, mfn: Mfn) -> Outcome {
    let mut operation = MmuextOperation::new_zeroed();
    operation.cmd = op.number();
    operation.arg1 = mfn.0;
    mmuext(&[operation]).0
}

/// One operation with any arguments.
pub(crate) fn mmuext_two(op: MmuextOp, arg1: u64, arg2: u64) -> Outcome {
    let mut operation = MmuextOperation::new_zeroed();
    operation.cmd = op.number();
    (operation.arg1, operation.arg2) = (arg1, arg2);
    mmuext(&[operation]).0
}

/// Pins a table.
pub(crate) fn pin(level: usize, mfn: Mfn) -> Outcome {
    const OPS: [MmuextOp; 4] = [
        MmuextOp::PinL1Table,
        MmuextOp::PinL2Table,
        MmuextOp::PinL3Table,
        MmuextOp::PinL4Table,
    ];
    mmuext_one(OPS[level - 1], mfn)
}

/// Unpins a table.
pub(crate) fn unpin(mfn: Mfn) -> Outcome {
    mmuext_one(MmuextOp::UnpinTable, mfn)
}
