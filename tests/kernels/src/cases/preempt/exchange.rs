//! Many extents are exchanged.

use super::super::prelude::*;
use super::{gives_way, listen};
use crate::reservation::{exchange, extents, pfn_of, unmap};

const COUNT: usize = 1024;

pub(crate) fn run() {
    listen();
    let frames: [Frame; COUNT] = Frame::alloc_many();
    frames.into_iter().for_each(unmap);
    let mut mfns = frames.map(|frame| frame.mfn().0);
    gives_way(
        "exchange",
        || {},
        || {
            let mut wanted = frames.map(|frame| frame.pfn().0);
            let outcome = exchange(extents(&mut mfns, 0), extents(&mut wanted, 0));
            assert_eq!(outcome, (Ok(0), COUNT as u64));
            mfns = wanted;
        },
    );
    for (mfn, frame) in mfns.iter().zip(frames) {
        assert_eq!(pfn_of(*mfn), frame.pfn());
    }
}
