//! Hypercalls that take and give frames of this domain's.

use crate::hypercall::{Outcome, hypercall};
use crate::memory::{Frame, update_va_mapping};
use guest_abi::ids::{DomId, Mfn, Pfn, Vaddr};
use guest_abi::memory_op::{Exchange, MemFlags, MemoryOp, Reservation};
use guest_abi::mmu::UVMF_INVLPG;
use zerocopy::FromZeros;

/// A list of extents of this domain's; wishes for addresses come by [`below`].
pub(crate) fn extents(list: &mut [u64], order: u32) -> Reservation {
    let mut reservation = Reservation::new_zeroed();
    reservation.extent_start = Vaddr(list.as_mut_ptr() as u64);
    reservation.nr_extents = list.len() as u64;
    reservation.extent_order = order;
    reservation.domid = DomId::SELF;
    reservation
}

/// The same at addresses of at most so many bits.
pub(crate) fn below(bits: u32, mut reservation: Reservation) -> Reservation {
    reservation.mem_flags = MemFlags::from_bits_retain(bits);
    reservation
}

/// An operation with a list of extents.
pub(crate) fn reserve(operation: MemoryOp, mut reservation: Reservation) -> Outcome {
    hypercall!(MemoryOp, operation.number(), &mut reservation)
}

/// Exchanges; also says how many extents are gone.
pub(crate) fn exchange(given: Reservation, wanted: Reservation) -> (Outcome, u64) {
    let mut op = Exchange::new_zeroed();
    (op.given, op.wanted) = (given, wanted);
    exchange_on(&mut op)
}

/// The same with all fields as given.
pub(crate) fn exchange_on(op: &mut Exchange) -> (Outcome, u64) {
    let outcome = hypercall!(MemoryOp, MemoryOp::Exchange.number(), &mut *op);
    (outcome, op.nr_exchanged)
}

/// Takes a frame out of the initial mapping, so that nothing refers to it.
pub(crate) fn unmap(frame: Frame) {
    assert_eq!(update_va_mapping(frame.va(), 0, UVMF_INVLPG), Ok(0));
}

/// What the table of all frames says about a machine frame.
pub(crate) fn pfn_of(mfn: u64) -> Pfn {
    Frame::of_mfn(Mfn(mfn)).pfn()
}
