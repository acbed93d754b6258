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
    let update = MmuUpdate {
        ptr: address | MmuUpdateType::NormalPtUpdate.number(),
        val: entry,
    };
    mmu_update(&[update]).0
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
