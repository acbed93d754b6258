//! A frame of the global descriptor table has no writable mapping and is no page table; when another table
//! is loaded it is free again.

use super::super::prelude::*;
use crate::memory::{KERNEL_RW, entry};

pub(crate) fn run() {
    let [table, other] = Frame::alloc_many();
    // Writable: can't become one.
    assert_eq!(load(table), Err(Errno::EINVAL));
    memory::make_readonly(table);
    assert_eq!(load(table), Ok(0));
    let writable = entry(table.mfn(), KERNEL_RW);
    assert_eq!(
        memory::update_va_mapping(table.va(), writable, 2),
        Err(Errno::EBUSY)
    );
    for level in 1..=4 {
        assert_eq!(memory::pin(level, table.mfn()), Err(Errno::EINVAL));
    }
    // A page table is no descriptor table.
    memory::make_readonly(other);
    assert_eq!(memory::pin(1, other.mfn()), Ok(0));
    assert_eq!(load(other), Err(Errno::EINVAL));
    assert_eq!(memory::unpin(other.mfn()), Ok(0));
    assert_eq!(load(other), Ok(0));
    memory::make_writable(table);
    assert_eq!(hypercall!(SetGdt, 0u64, 0u64), Ok(0));
    memory::make_writable(other);
}

fn load(table: Frame) -> crate::hypercall::Outcome {
    hypercall!(SetGdt, &[table.mfn()][..], 512u64)
}
