//! The list of frames and the machine-to-physical table agree on every frame of the domain.

use super::super::prelude::*;
use crate::start::start_info;

pub(crate) fn run() {
    for pfn in (0..start_info().nr_pages).map(Pfn) {
        let frame = Frame::of_pfn(pfn);
        assert_eq!(Frame::of_mfn(frame.mfn()), frame);
    }
    // The shared page is the hypervisor's.
    let shared = Frame::of_mfn(Mfn::of_address(start_info().shared_info));
    assert_eq!(shared.pfn(), Pfn(u64::MAX), "the shared page has no place");
}
