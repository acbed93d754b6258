//! Many frames are given up, and others taken: with numbers of the domain's own, and without.

use super::super::prelude::*;
use super::{gives_way, listen};
use crate::reservation::{extents, pfn_of, reserve, unmap};
use core::cell::RefCell;
use guest_abi::memory_op::{MemoryDomain, MemoryOp};

const COUNT: usize = 1500;

fn frames_of_domain() -> u64 {
    let mut own = MemoryDomain { domid: DomId::SELF };
    let outcome = hypercall!(MemoryOp, MemoryOp::CurrentReservation.number(), &mut own);
    outcome.unwrap()
}

pub(crate) fn run() {
    listen();
    let total = frames_of_domain();
    let frames: [Frame; COUNT] = Frame::alloc_many();
    frames.into_iter().for_each(unmap);
    let list = RefCell::new(frames.map(|frame| frame.mfn().0));
    let all = |operation| {
        let outcome = reserve(operation, extents(&mut list.borrow_mut()[..], 0));
        assert_eq!(outcome, Ok(COUNT as u64), "{operation:?}");
    };
    let give_up = || {
        if frames_of_domain() == total {
            all(MemoryOp::DecreaseReservation);
        }
        assert_eq!(frames_of_domain(), total - COUNT as u64);
    };
    gives_way("increase_reservation", give_up, || {
        all(MemoryOp::IncreaseReservation)
    });
    assert_eq!(frames_of_domain(), total);
    gives_way(
        "populate_physmap",
        || {
            give_up();
            *list.borrow_mut() = frames.map(|frame| frame.pfn().0);
        },
        || all(MemoryOp::PopulatePhysmap),
    );
    for (mfn, frame) in list.borrow().iter().zip(frames) {
        assert_eq!(pfn_of(*mfn), frame.pfn());
    }
    gives_way(
        "decrease_reservation",
        || {
            if frames_of_domain() != total {
                all(MemoryOp::IncreaseReservation);
            }
        },
        || all(MemoryOp::DecreaseReservation),
    );
    assert_eq!(frames_of_domain(), total - COUNT as u64);
}
