//! An update of the machine-to-physical table changes the place of an own frame, and of no other.

use super::super::prelude::*;
use crate::memory::typed_update;
use crate::start::start_info;
use guest_abi::mmu::MmuUpdateType;

pub(crate) fn run() {
    let frame = Frame::alloc();
    let place = |mfn: Mfn, pfn: u64| {
        let update = typed_update(MmuUpdateType::MachphysUpdate, mfn.address(), pfn);
        memory::mmu_update(&[update])
    };
    assert_eq!(place(frame.mfn(), 0x1_2345), (Ok(0), 1));
    assert_eq!(Frame::of_mfn(frame.mfn()).pfn(), Pfn(0x1_2345));
    assert_eq!(place(frame.mfn(), frame.pfn().0), (Ok(0), 1));
    assert_eq!(Frame::of_mfn(frame.mfn()), frame);
    // A frame that the domain does not have.
    for mfn in [Mfn(0xb8), Mfn(0x7f_ffff_ffff)] {
        let (outcome, done) = place(mfn, 5);
        assert_eq!((outcome, done), (Err(Errno::EINVAL), 0), "{mfn}");
    }
    assert!(start_info().nr_pages > 0);
}
