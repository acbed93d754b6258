//! Without memory there are no new domains and no new vCPUs, and nothing else is wrong.

use super::super::prelude::*;
use crate::control::{self, Guest, control, create, exists, free_frames, ordinary, simple};
use guest_abi::domctl::DomctlOp;
use guest_abi::domctl_memory::MaxMem;
use guest_abi::domctl_vcpu::MaxVcpus;
use guest_abi::memory_op::{MemoryOp, Reservation};

/// Takes all extents of an order that there are.
pub(super) fn take_all(id: DomId, order: u32) {
    let mut reservation = Reservation::new_zeroed();
    let mut extent = [0u64];
    reservation.extent_start = Vaddr(extent.as_mut_ptr() as u64);
    reservation.nr_extents = 1;
    reservation.extent_order = order;
    reservation.domid = id;
    let op = MemoryOp::PopulatePhysmap.number();
    while hypercall!(MemoryOp, op, &mut reservation) == Ok(1) {}
}

pub(crate) fn run() {
    // What is made once and stays.
    let guest = Guest::empty(1);
    guest.end();
    let before = free_frames();
    let glutton = create(&ordinary(1)).expect("no domain");
    let most = MaxMem {
        max_memkb: u64::MAX,
    };
    assert_eq!(control(DomctlOp::MaxMem, glutton, &most), Ok(0));
    let small = create(&ordinary(128)).expect("no domain");
    for order in [9, 4, 0] {
        take_all(glutton, order);
    }
    let vcpus = MaxVcpus { max: 128 };
    assert_eq!(
        control(DomctlOp::MaxVcpus, small, &vcpus),
        Err(Errno::ENOMEM)
    );
    // Sooner or later there is none for the domain itself.
    let mut made = 0;
    let refusal = loop {
        match create(&ordinary(1)) {
            Ok(_) => made += 1,
            Err(errno) => break errno,
        }
    };
    assert_eq!(refusal, Errno::ENOMEM);
    for id in glutton.0..=glutton.0 + 1 + made {
        if exists(DomId(id)) {
            assert_eq!(simple(DomctlOp::DestroyDomain, DomId(id)), Ok(0));
        }
    }
    assert_eq!(control::info(glutton).map(|_| ()), Err(Errno::ESRCH));
    let left = before.abs_diff(free_frames());
    let most = if control::is_reference() { 2048 } else { 0 };
    assert!(left <= most, "{left} frames are gone");
    // And it all works as before.
    let guest = Guest::empty(2);
    guest.end();
}
