//! Frames are given up: unmapped ones are gone at once, mapped ones when the last mapping goes. What is not the
//! domain's ends the list.

use super::super::prelude::*;
use crate::memory::{KERNEL_RO, KERNEL_RW, SPARE, Tables, entry, update_va_mapping};
use crate::reservation::{extents, pfn_of, reserve, unmap};
use guest_abi::address_space::M2P_INVALID;
use guest_abi::memory_op::{MemoryDomain, MemoryOp};

fn frames_of_domain() -> u64 {
    let mut own = MemoryDomain { domid: DomId::SELF };
    let outcome = hypercall!(MemoryOp, MemoryOp::CurrentReservation.number(), &mut own);
    outcome.unwrap()
}

fn decrease(list: &mut [u64]) -> Result<u64, Errno> {
    reserve(MemoryOp::DecreaseReservation, extents(list, 0))
}

pub(crate) fn run() {
    let total = frames_of_domain();
    let frames: [Frame; 4] = Frame::alloc_many();
    frames.into_iter().for_each(unmap);
    assert_eq!(decrease(&mut frames.map(|frame| frame.mfn().0)), Ok(4));
    assert_eq!(frames_of_domain(), total - 4);
    for frame in frames {
        assert_eq!(pfn_of(frame.mfn().0), Pfn(M2P_INVALID));
        let back = entry(frame.mfn(), KERNEL_RO);
        let outcome = update_va_mapping(frame.va(), back, 2);
        assert!(outcome.is_err(), "a frame that was given up is mapped");
    }
    assert_eq!(decrease(&mut [frames[0].mfn().0]), Ok(0), "twice");

    // Still mapped.
    let frame = Frame::alloc();
    frame.write(0, 0x1234);
    assert_eq!(decrease(&mut [frame.mfn().0]), Ok(1));
    assert_eq!(frame.read(0), 0x1234);
    unmap(frame);
    assert_eq!(pfn_of(frame.mfn().0), Pfn(M2P_INVALID));
    assert_eq!(frames_of_domain(), total - 5);

    // The list ends where something is wrong: nobody's, not memory.
    for wrong in [0xff_ffff_ffff, 1] {
        let frames: [Frame; 3] = Frame::alloc_many();
        frames.into_iter().for_each(unmap);
        let [one, two, three] = frames.map(|frame| frame.mfn().0);
        assert_eq!(decrease(&mut [one, two, wrong, three]), Ok(2), "{wrong:#x}");
        assert_eq!(pfn_of(three), frames[2].pfn());
    }
    // A list that is nowhere; nothing to do; whose?
    let mut list = [0u64];
    let mut wish = extents(&mut list, 0);
    wish.extent_start = Vaddr(0x1000);
    assert_eq!(reserve(MemoryOp::DecreaseReservation, wish), Ok(0));
    assert_eq!(decrease(&mut []), Ok(0));
    let mut wish = extents(&mut list, 0);
    wish.domid = DomId(77);
    assert_eq!(reserve(MemoryOp::DecreaseReservation, wish), Ok(0));

    // A table in force keeps what it maps, and itself, until it goes.
    let tables = Tables::hook(SPARE);
    let page = Frame::alloc();
    let address = tables.l1.word_address(5);
    assert_eq!(
        memory::set_entry(address, entry(page.mfn(), KERNEL_RW)),
        Ok(0)
    );
    unmap(page);
    assert_eq!(decrease(&mut [page.mfn().0]), Ok(1));
    assert_eq!(memory::set_entry(address, 0), Ok(0));
    assert!(memory::set_entry(address, entry(page.mfn(), KERNEL_RO)).is_err());
}
