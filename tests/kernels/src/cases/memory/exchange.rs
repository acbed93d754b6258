//! Frames are exchanged for contiguous ones and back: the new ones are the domain's, zero, under the same
//! numbers, and can be mapped; the old ones are nobody's.

use super::super::prelude::*;
use crate::memory::{KERNEL_RW, entry, update_va_mapping};
use crate::reservation::{below, exchange, extents, pfn_of, unmap};
use guest_abi::address_space::M2P_INVALID;
use guest_abi::memory_op::{MemoryDomain, MemoryOp};

fn frames_of_domain() -> u64 {
    let mut own = MemoryDomain { domid: DomId::SELF };
    let outcome = hypercall!(MemoryOp, MemoryOp::CurrentReservation.number(), &mut own);
    outcome.unwrap()
}

pub(crate) fn run() {
    let total = frames_of_domain();
    let frames: [Frame; 64] = Frame::alloc_many();
    for frame in frames {
        frame.write(3, 0xdead_beef);
        unmap(frame);
    }
    let mut scattered = frames.map(|frame| frame.mfn().0);
    let old = scattered;
    let mut contiguous = [frames[0].pfn().0];
    let outcome = exchange(
        extents(&mut scattered, 0),
        below(32, extents(&mut contiguous, 6)),
    );
    assert_eq!(outcome, (Ok(0), 64));
    let [first] = contiguous;
    assert!(
        first.is_multiple_of(64) && first + 64 <= 1 << 20,
        "{first:#x}"
    );
    for (index, frame) in (0..).zip(frames) {
        let mfn = first + index;
        assert_eq!(pfn_of(mfn), frame.pfn());
        let new = entry(Mfn(mfn), KERNEL_RW);
        assert_eq!(update_va_mapping(frame.va(), new, 2), Ok(0));
        assert_eq!(frame.read(3), 0, "{mfn:#x} has an old content");
        frame.write(3, 0xbeef_dead + index);
    }
    let is_new = |mfn: &u64| (first..first + 64).contains(mfn);
    for mfn in old.iter().filter(|mfn| !is_new(mfn)) {
        assert_eq!(pfn_of(*mfn), Pfn(M2P_INVALID), "{mfn:#x}");
        let outcome = update_va_mapping(frames[0].va(), entry(Mfn(*mfn), KERNEL_RW), 2);
        assert!(outcome.is_err(), "{mfn:#x} can still be mapped");
    }
    assert_eq!(frames_of_domain(), total);

    // And apart again.
    for frame in frames {
        assert_eq!(update_va_mapping(frame.va(), 0, 2), Ok(0));
    }
    let mut apart = frames.map(|frame| frame.pfn().0);
    let outcome = exchange(extents(&mut contiguous, 6), extents(&mut apart, 0));
    assert_eq!(outcome, (Ok(0), 1));
    for (mfn, frame) in apart.iter().zip(frames) {
        assert_eq!(pfn_of(*mfn), frame.pfn());
        let new = entry(Mfn(*mfn), KERNEL_RW);
        assert_eq!(update_va_mapping(frame.va(), new, 2), Ok(0));
        assert_eq!(frame.read(3), 0, "{mfn:#x} has an old content");
    }
    assert_eq!(frames_of_domain(), total);
    // One for one.
    unmap(frames[7]);
    let (mut give, mut take) = ([apart[7]], [frames[7].pfn().0]);
    let outcome = exchange(extents(&mut give, 0), extents(&mut take, 0));
    assert_eq!(outcome, (Ok(0), 1));
    assert_eq!(pfn_of(take[0]), frames[7].pfn());
    // Nothing for nothing.
    let outcome = exchange(extents(&mut [], 0), extents(&mut [], 6));
    assert_eq!(outcome, (Ok(0), 0));
}
