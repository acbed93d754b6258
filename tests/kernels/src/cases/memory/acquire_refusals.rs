//! What a domain shares with the hypervisor is listed to others that look after it, not to itself.

use super::super::prelude::*;
use guest_abi::memory_op::{AcquireResource, MemoryOp, Resource};

pub(crate) fn run() {
    let mut list = [0u64; 4];
    let mut ask = |dom: u16, frame: u64, pad: u32| {
        let mut op = AcquireResource::new_zeroed();
        (op.domid, op.resource) = (DomId(dom), Resource::GrantTable.number());
        (op.nr_frames, op.frame, op.pad) = (1, frame, pad);
        op.frame_list = Vaddr(list.as_mut_ptr() as u64);
        hypercall!(MemoryOp, MemoryOp::AcquireResource.number(), &mut op)
    };
    assert_eq!(ask(0, 0, 0), Err(Errno::EPERM));
    assert_eq!(ask(DomId::SELF.0, 0, 0), Err(Errno::ESRCH));
    assert_eq!(ask(77, 0, 0), Err(Errno::ESRCH));
    // Numbers that no frame has, and a field that must be zero.
    assert_eq!(ask(77, 1 << 33, 0), Err(Errno::EINVAL));
    assert_eq!(ask(77, 0xffff_ffff, 0), Err(Errno::EINVAL));
    assert_eq!(ask(77, 0, 1), Err(Errno::EINVAL));
}
