//! Memory is set aside by the number of frames that a domain shall have in the end.

use super::super::prelude::*;
use guest_abi::memory_op::{MemFlags, MemoryOp, Reservation};

fn claim(change: impl FnOnce(&mut Reservation)) -> Result<u64, Errno> {
    let mut op = Reservation::new_zeroed();
    op.domid = DomId::DOM0;
    change(&mut op);
    hypercall!(MemoryOp, MemoryOp::ClaimPages.number(), &mut op)
}

pub(crate) fn run() {
    // Fewer than there are; more than there may be.
    assert_eq!(claim(|op| op.nr_extents = 1), Err(Errno::EINVAL));
    assert_eq!(claim(|op| op.nr_extents = 1 << 40), Err(Errno::EINVAL));
    assert_eq!(claim(|op| op.domid = DomId(77)), Err(Errno::EINVAL));
    assert_eq!(
        claim(|op| op.extent_start = Vaddr(op as *const _ as u64)),
        Err(Errno::EINVAL)
    );
    assert_eq!(claim(|op| op.extent_order = 1), Err(Errno::EINVAL));
    let flags = MemFlags::from_bits_retain(32);
    assert_eq!(claim(|op| op.mem_flags = flags), Err(Errno::EINVAL));
    // No more.
    assert_eq!(claim(|op| op.nr_extents = 0), Ok(0));
}
