//! A drivers' buffer: 4 MiB are exchanged slab by slab, each as low as can be had, then in one call that is
//! interrupted and goes on.

use super::super::prelude::*;
use crate::reservation::{below, exchange, extents, pfn_of, unmap};

const SLAB: usize = 64;

pub(crate) fn run() {
    let port = crate::clock::bind_timer();
    event::unmask_upcalls();
    let frames: [Frame; 1024] = Frame::alloc_many();
    frames.into_iter().for_each(unmap);
    let mut bits = 18;
    let mut slabs = [0u64; 1024 / SLAB];
    for (slab, frames) in slabs.iter_mut().zip(frames.as_chunks::<SLAB>().0) {
        let mut given = frames.map(|frame| frame.mfn().0);
        loop {
            let mut wanted = [frames[0].pfn().0];
            let (outcome, done) =
                exchange(extents(&mut given, 0), below(bits, extents(&mut wanted, 6)));
            if outcome.is_ok() {
                assert_eq!(done, SLAB as u64);
                [*slab] = wanted;
                break;
            }
            assert_eq!(done, 0);
            assert_eq!(pfn_of(given[0]), frames[0].pfn());
            bits += 1;
            assert!(bits <= 32, "no 256 KiB below 4 GiB");
        }
        assert!(*slab + SLAB as u64 <= 1 << (bits - 12));
        for (mfn, frame) in (*slab..).zip(frames) {
            assert_eq!(pfn_of(mfn), frame.pfn());
        }
    }
    // All at once, with a timer in between.
    let mut apart = frames.map(|frame| frame.pfn().0);
    crate::clock::set_timer(crate::clock::now_ns() + crate::clock::MS / 4);
    let outcome = exchange(extents(&mut slabs, 6), extents(&mut apart, 0));
    assert_eq!(outcome, (Ok(0), 1024 / SLAB as u64));
    for (mfn, frame) in apart.iter().zip(frames) {
        assert_eq!(pfn_of(*mfn), frame.pfn());
    }
    smp::wait_until("the timer", || event::count(port) > 0);
}
