//! `update_va_mapping` sets the entry that maps an address, and the flush that it is told makes it true.

use super::super::prelude::*;
use crate::memory::{KERNEL_RO, KERNEL_RW, entry};
use guest_abi::mmu::{UVMF_ALL, UVMF_INVLPG, UVMF_TLB_FLUSH};

pub(crate) fn run() {
    let [place, first, second] = Frame::alloc_many();
    first.write(0, 1);
    second.write(0, 2);
    let bitmap = [1u64; 4];
    let pointer = bitmap.as_ptr() as u64;
    for flush in [
        UVMF_INVLPG,
        UVMF_TLB_FLUSH,
        UVMF_INVLPG | UVMF_ALL,
        UVMF_TLB_FLUSH | UVMF_ALL,
        UVMF_INVLPG | pointer,
        UVMF_TLB_FLUSH | pointer,
    ] {
        for frame in [first, second] {
            let value = entry(frame.mfn(), KERNEL_RO);
            assert_eq!(memory::update_va_mapping(place.va(), value, flush), Ok(0));
            assert_eq!(place.read(0), frame.read(0), "after flush {flush:#x}");
        }
    }
    let value = entry(second.mfn(), KERNEL_RW);
    assert_eq!(
        memory::update_va_mapping(place.va(), value, UVMF_INVLPG),
        Ok(0)
    );
    place.write(1, 77);
    assert_eq!(second.read(1), 77);
}
