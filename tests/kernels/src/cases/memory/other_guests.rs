//! Operations that are for other kinds of guests say so, and none of them with an argument that can't be read.

use super::super::prelude::*;
use guest_abi::memory_op::MemoryOp;

pub(crate) fn run() {
    let argument = [0u64; 16];
    for (op, expected) in [
        (MemoryOp::AddToPhysmap, Err(Errno::EACCES)),
        (MemoryOp::RemoveFromPhysmap, Err(Errno::EACCES)),
        (MemoryOp::AddToPhysmapBatch, Err(Errno::EACCES)),
        (MemoryOp::SetPodTarget, Err(Errno::EINVAL)),
        (MemoryOp::GetPodTarget, Err(Errno::EINVAL)),
        (MemoryOp::AccessOp, Err(Errno::EPERM)),
        (MemoryOp::GetVnumaInfo, Err(Errno::EOPNOTSUPP)),
        (MemoryOp::ReservedDeviceMemoryMap, Ok(0)),
    ] {
        let outcome = hypercall!(MemoryOp, op.number(), &argument);
        assert_eq!(outcome, expected, "{op:?}");
        let outcome = hypercall!(MemoryOp, op.number(), 0x1000u64);
        assert_eq!(outcome, Err(Errno::EFAULT), "{op:?}");
    }
    for (op, expected) in [
        (MemoryOp::GetSharingFreedPages, Ok(0)),
        (MemoryOp::GetSharingSharedPages, Ok(0)),
        (MemoryOp::MachphysCompatMfnList, Err(Errno::EOPNOTSUPP)),
        (MemoryOp::PagingOp, Err(Errno::ENOSYS)),
        (MemoryOp::SharingOp, Err(Errno::ENOSYS)),
    ] {
        let outcome = hypercall!(MemoryOp, op.number(), &argument);
        assert_eq!(outcome, expected, "{op:?}");
    }
}
