//! The root that is loaded is a table without a pin, too.

use super::super::prelude::*;
use crate::memory::{KERNEL_RW, entry};
use crate::start::start_info;
use guest_abi::mmu::MmuextOp;

pub(crate) fn run() {
    let root = Frame::at(start_info().pt_base);
    // The builder has pinned it.
    assert_eq!(memory::unpin(root.mfn()), Ok(0));
    assert_eq!(memory::unpin(root.mfn()), Err(Errno::EINVAL));
    let writable = entry(root.mfn(), KERNEL_RW);
    assert_eq!(
        memory::update_va_mapping(root.va(), writable, 2),
        Err(Errno::EBUSY)
    );

    let other = Frame::alloc();
    (0..512).for_each(|slot| other.write(slot, root.read(slot)));
    memory::make_readonly(other);
    assert_eq!(memory::mmuext_one(MmuextOp::NewBaseptr, other.mfn()), Ok(0));
    let writable = entry(other.mfn(), KERNEL_RW);
    assert_eq!(
        memory::update_va_mapping(other.va(), writable, 2),
        Err(Errno::EBUSY)
    );
    // The first one is free now, and the tables below it live on in the second.
    memory::make_writable(root);
    root.write(0, u64::MAX);
}
