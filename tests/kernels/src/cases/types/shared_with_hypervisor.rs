//! The page that the hypervisor shares can be mapped writable and often, and is no page table; and as frames of the grant
//! table it is cached in no other way than the hypervisor's.

use super::super::prelude::*;
use crate::grant;
use crate::memory::{
    CACHE_DISABLE, KERNEL_RO, KERNEL_RW, PAT, SPARE, Tables, WRITE_THROUGH, entry,
};
use crate::start::start_info;

pub(crate) fn run() {
    let shared = Mfn::of_address(start_info().shared_info);
    let hooked = Tables::hook(SPARE);
    for place in 0..20 {
        let flags = if place % 2 == 0 { KERNEL_RW } else { KERNEL_RO };
        let address = hooked.l1.word_address(place);
        assert_eq!(memory::set_entry(address, entry(shared, flags)), Ok(0));
    }
    let mut granting = [0u64; 1];
    let (outcome, status) = grant::setup_table(DomId::SELF, 1, Vaddr(granting.as_mut_ptr() as u64));
    assert_eq!((outcome, status), (Ok(0), 0));
    for mfn in [shared, Mfn(granting[0])] {
        for choice in [WRITE_THROUGH, CACHE_DISABLE, PAT] {
            let value = entry(mfn, KERNEL_RW | choice);
            let outcome = memory::set_entry(hooked.l1.word_address(30), value);
            assert_eq!(outcome, Err(Errno::EACCES), "{mfn} {choice:#x}");
        }
    }
    for level in 1..=4 {
        assert_eq!(memory::pin(level, shared), Err(Errno::EINVAL));
    }
    let gdt = hypercall!(SetGdt, &[shared][..], 512u64);
    assert_eq!(gdt, Err(Errno::EINVAL));
}
