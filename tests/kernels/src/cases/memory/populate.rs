//! A domain that has given frames up gets others: of any size, at low addresses, with or without numbers of its
//! own; and no more than it may have.

use super::super::prelude::*;
use crate::memory::{KERNEL_RW, entry, update_va_mapping};
use crate::reservation::{below, extents, pfn_of, reserve, unmap};
use guest_abi::memory_op::{MemoryOp, Reservation};

pub(crate) fn run() {
    let frames: [Frame; 600] = Frame::alloc_many();
    frames.into_iter().for_each(unmap);
    let mut list = frames.map(|frame| frame.mfn().0);
    let outcome = reserve(MemoryOp::DecreaseReservation, extents(&mut list, 0));
    assert_eq!(outcome, Ok(600));

    // Two frames, one of them low.
    let mut list = [frames[0].pfn().0];
    let wish = extents(&mut list, 0);
    assert_eq!(reserve(MemoryOp::PopulatePhysmap, wish), Ok(1));
    let mut low = [frames[1].pfn().0];
    let wish = below(28, extents(&mut low, 0));
    assert_eq!(reserve(MemoryOp::PopulatePhysmap, wish), Ok(1));
    assert!(low[0] < 1 << 16, "{:#x} is not below 256 MiB", low[0]);
    for (mfn, frame) in [(list[0], frames[0]), (low[0], frames[1])] {
        assert_eq!(pfn_of(mfn), frame.pfn());
        let new = entry(Mfn(mfn), KERNEL_RW);
        assert_eq!(update_va_mapping(frame.va(), new, 2), Ok(0));
        assert_eq!(frame.read(9), 0);
        frame.write(9, 1);
    }
    // 2 MiB.
    let mut large = [frames[2].pfn().0];
    let wish = extents(&mut large, 9);
    assert_eq!(reserve(MemoryOp::PopulatePhysmap, wish), Ok(1));
    assert!(large[0].is_multiple_of(512), "{:#x}", large[0]);
    assert_eq!(pfn_of(large[0]), frames[2].pfn());
    assert_eq!(pfn_of(large[0] + 511).0, frames[2].pfn().0 + 511);
    assert_eq!(
        reserve(MemoryOp::DecreaseReservation, extents(&mut large, 9)),
        Ok(1)
    );
    // Without a list; with one.
    let mut wish = extents(&mut [0; 2], 0);
    wish.extent_start = Vaddr(0);
    assert_eq!(reserve(MemoryOp::IncreaseReservation, wish), Ok(2));
    let mut told = [0; 2];
    let wish = extents(&mut told, 1);
    assert_eq!(reserve(MemoryOp::IncreaseReservation, wish), Ok(2));
    assert!(told[0] != told[1] && told.iter().all(|mfn| mfn % 2 == 0));
    assert_eq!(
        reserve(MemoryOp::DecreaseReservation, extents(&mut told, 1)),
        Ok(2)
    );
    // No list to take numbers from, no readable one, no domain, no such size, no such memory.
    let cases: [fn(&mut Reservation); 6] = [
        |wish| wish.extent_start = Vaddr(0),
        |wish| wish.extent_start = Vaddr(0x1000),
        |wish| wish.domid = DomId(77),
        |wish| wish.extent_order = 64,
        |wish| wish.extent_order = 18,
        |wish| *wish = below(12, *wish),
    ];
    for change in cases {
        let mut list = [1];
        let mut wish = extents(&mut list, 0);
        change(&mut wish);
        assert_eq!(reserve(MemoryOp::PopulatePhysmap, wish), Ok(0));
        assert_eq!(list, [1]);
    }
}
