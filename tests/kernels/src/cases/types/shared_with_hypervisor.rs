//! The page that the hypervisor shares can be mapped writable and often, and is no page table.

use super::super::prelude::*;
use crate::memory::{KERNEL_RO, KERNEL_RW, SPARE, Tables, entry};
use crate::start::start_info;

pub(crate) fn run() {
    let shared = Mfn::of_address(start_info().shared_info);
    let hooked = Tables::hook(SPARE);
    for place in 0..20 {
        let flags = if place % 2 == 0 { KERNEL_RW } else { KERNEL_RO };
        let address = hooked.l1.word_address(place);
        assert_eq!(memory::set_entry(address, entry(shared, flags)), Ok(0));
    }
    for level in 1..=4 {
        assert_eq!(memory::pin(level, shared), Err(Errno::EINVAL));
    }
    let gdt = hypercall!(SetGdt, &[shared][..], 512u64);
    assert_eq!(gdt, Err(Errno::EINVAL));
}
