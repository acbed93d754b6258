//! The machine-to-physical table is where the kernel is told that it is; an update of it changes the place of an own frame,
//! and of no other.

use super::super::prelude::*;
use crate::memory::typed_update;
use crate::start::start_info;
use guest_abi::memory_map::MachphysMapping;
use guest_abi::memory_op::MemoryOp;
use guest_abi::mmu::MmuUpdateType;

/// Where the table is, and what it has entries for.
fn told() {
    let mut mapping = MachphysMapping {
        v_start: Vaddr(0),
        v_end: Vaddr(0),
        max_mfn: 0,
    };
    let op = MemoryOp::MachphysMapping.number();
    assert_eq!(hypercall!(MemoryOp, op, &mut mapping), Ok(0));
    assert_eq!(mapping.v_start, Vaddr(0xffff_8000_0000_0000));
    assert_eq!(mapping.v_end, Vaddr(0xffff_8040_0000_0000));
    // To the hardware domain it is the machine's last frame.
    let op = MemoryOp::MaximumRamPage.number();
    assert_eq!(hypercall!(MemoryOp, op, 0u64), Ok(mapping.max_mfn + 1));
    assert!(Frame::alloc().mfn().0 <= mapping.max_mfn);
}

pub(crate) fn run() {
    told();
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
