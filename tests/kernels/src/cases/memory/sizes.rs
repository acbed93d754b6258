//! How many frames a domain has, how many it may have, and the highest that its list of frames names.

use super::super::prelude::*;
use crate::reservation::{extents, reserve, unmap};
use crate::start::start_info;
use core::sync::atomic::Ordering;
use guest_abi::memory_op::{MemoryDomain, MemoryOp};

/// `max:` of `dom0_mem=` in the options, in frames.
const MOST: u64 = 96 << 20 >> 12;
/// Frames of a large extent.
const LARGE: u64 = 1 << 9;

fn ask(op: MemoryOp, domid: DomId) -> Result<u64, Errno> {
    hypercall!(MemoryOp, op.number(), &mut MemoryDomain { domid })
}

pub(crate) fn run() {
    use MemoryOp::{CurrentReservation, MaximumGpfn, MaximumReservation};
    let at_start = start_info().nr_pages;
    for myself in [DomId::SELF, DomId::DOM0] {
        assert_eq!(ask(CurrentReservation, myself), Ok(at_start));
        assert_eq!(ask(MaximumReservation, myself), Ok(MOST));
    }
    for op in [CurrentReservation, MaximumReservation, MaximumGpfn] {
        for nobody in [DomId(77), DomId(0x7ff1), DomId(0xffff)] {
            assert_eq!(ask(op, nobody), Err(Errno::ESRCH), "{op:?} of {nobody:?}");
        }
        let outcome = hypercall!(MemoryOp, op.number(), NON_CANONICAL);
        assert_eq!(outcome, Err(Errno::EFAULT), "{op:?}");
    }
    // What the domain itself has said.
    let max_pfn = &event::shared_info().max_pfn;
    for (said, highest) in [(0, 0), (1, 0), (at_start, at_start - 1)] {
        max_pfn.store(said, Ordering::SeqCst);
        assert_eq!(ask(MaximumGpfn, DomId::SELF), Ok(highest));
    }

    let frame = Frame::alloc();
    unmap(frame);
    let mut gone = [frame.mfn().0];
    let outcome = reserve(MemoryOp::DecreaseReservation, extents(&mut gone, 0));
    assert_eq!(outcome, Ok(1));
    assert_eq!(ask(CurrentReservation, DomId::SELF), Ok(at_start - 1));
    assert_eq!(ask(MaximumReservation, DomId::SELF), Ok(MOST));
    assert_eq!(ask(MaximumGpfn, DomId::SELF), Ok(at_start - 1));

    // Up to the most, and not beyond.
    let room = (MOST - at_start) / LARGE;
    let mut list = [0u64; 20];
    assert!(room < list.len() as u64);
    let outcome = reserve(MemoryOp::IncreaseReservation, extents(&mut list, 9));
    assert_eq!(outcome, Ok(room));
    assert_eq!(
        ask(CurrentReservation, DomId::SELF),
        Ok(at_start - 1 + room * LARGE)
    );
    let outcome = reserve(MemoryOp::IncreaseReservation, extents(&mut list[..2], 0));
    assert_eq!(outcome, Ok(1), "one for the one that was given up");
    assert_eq!(ask(CurrentReservation, DomId::SELF), Ok(MOST));
}
