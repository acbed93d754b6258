//! The first domain may choose how its own memory is cached; the entries hold what it chose.

use super::super::prelude::*;
use crate::memory::{CACHE_DISABLE, KERNEL_RW, PAT, SPARE, Tables, WRITE_THROUGH, entry};

pub(crate) fn run() {
    let hooked = Tables::hook(SPARE);
    let frame = Frame::alloc();
    let attributes = WRITE_THROUGH | CACHE_DISABLE | PAT;
    for choice in [
        0,
        WRITE_THROUGH,
        CACHE_DISABLE,
        CACHE_DISABLE | WRITE_THROUGH,
        PAT,
        attributes,
        0,
    ] {
        let value = entry(frame.mfn(), KERNEL_RW | choice);
        assert_eq!(
            memory::set_entry(hooked.l1.word_address(1), value),
            Ok(0),
            "{choice:#x}"
        );
        assert_eq!(hooked.l1.read(1) & attributes, choice);
    }
    assert_eq!(memory::set_entry(hooked.l1.word_address(1), 0), Ok(0));
}
