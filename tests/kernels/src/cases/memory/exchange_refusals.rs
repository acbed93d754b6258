//! What can't be exchanged stays where it is: an error, none exchanged, the same frames as before.

use super::super::prelude::*;
use crate::memory::{KERNEL_RW, entry, update_va_mapping};
use crate::reservation::{below, exchange, exchange_on, extents, pfn_of, unmap};
use crate::start::start_info;
use guest_abi::memory_op::{Exchange, Reservation};

pub(crate) fn run() {
    let frames: [Frame; 64] = Frame::alloc_many();
    let mut given = frames.map(|frame| frame.mfn().0);
    let all = given;
    let mut wanted = [frames[0].pfn().0];
    // Mapped.
    let refused = |given: Reservation, wanted: Reservation, expected: Errno| {
        assert_eq!(exchange(given, wanted), (Err(expected), 0));
    };
    let (give, take) = (extents(&mut given, 0), below(32, extents(&mut wanted, 6)));
    refused(give, take, Errno::EINVAL);
    frames.into_iter().for_each(unmap);
    // The last of them is not the domain's, or there twice.
    for last in [0xff_ffff_ffff, all[0], start_info().shared_info >> 12] {
        let mut given = all;
        given[63] = last;
        refused(extents(&mut given, 0), take, Errno::EINVAL);
    }
    // Not as many.
    let mut fewer = give;
    fewer.nr_extents = 63;
    refused(fewer, take, Errno::EINVAL);
    let mut larger = take;
    larger.extent_order = 7;
    refused(give, larger, Errno::EINVAL);
    // Whose?
    let mut other = take;
    other.domid = DomId::DOM0;
    refused(give, other, Errno::EINVAL);
    let (mut theirs, mut to_them) = (give, take);
    (theirs.domid, to_them.domid) = (DomId(77), DomId(77));
    refused(theirs, to_them, Errno::ESRCH);
    // Lists in nowhere.
    let mut nowhere = give;
    nowhere.extent_start = Vaddr(0x1000);
    refused(nowhere, take, Errno::EFAULT);
    let mut huge = give;
    huge.nr_extents = 1 << 62;
    let mut huge_too = take;
    huge_too.nr_extents = 1 << 56;
    refused(huge, huge_too, Errno::EFAULT);
    // More done than there is to do.
    let mut op = Exchange::new_zeroed();
    (op.given, op.wanted, op.nr_exchanged) = (give, take, 65);
    assert_eq!(exchange_on(&mut op), (Err(Errno::EINVAL), 65));
    // Everything done.
    op.nr_exchanged = 64;
    assert_eq!(exchange_on(&mut op), (Ok(0), 64));

    // All frames are still there, in their places.
    for frame in frames {
        assert_eq!(pfn_of(frame.mfn().0), frame.pfn());
        let back = entry(frame.mfn(), KERNEL_RW);
        assert_eq!(update_va_mapping(frame.va(), back, 2), Ok(0));
    }
    for frame in frames {
        unmap(frame);
    }
    // Addresses that nobody has so many of: memory for the wish is short, whatever the error.
    for bits in [1, 12, 18] {
        let (outcome, done) = exchange(give, below(bits, take));
        assert!(outcome.is_err(), "{bits} bits");
        assert_eq!(done, 0);
        assert_eq!(pfn_of(all[0]), frames[0].pfn());
        assert_eq!(pfn_of(all[63]), frames[63].pfn());
    }
    // And it works after all.
    assert_eq!(exchange(give, take), (Ok(0), 64));
}
