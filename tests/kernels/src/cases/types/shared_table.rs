//! A table below can hang in many places at once, and be pinned as well; it is free when the last is gone.

use super::super::prelude::*;
use crate::memory::{KERNEL_RW, SPARE, TABLE, Tables, entry};

pub(crate) fn run() {
    let hooked = Tables::hook(SPARE);
    let frame = Frame::alloc();
    hooked_page(hooked, frame);
    for place in 1..512 {
        let address = hooked.l2.word_address(place);
        assert_eq!(
            memory::set_entry(address, entry(hooked.l1.mfn(), TABLE)),
            Ok(0)
        );
    }
    assert_eq!(memory::pin(1, hooked.l1.mfn()), Ok(0));
    assert_eq!(
        memory::pin(1, hooked.l1.mfn()),
        Err(Errno::EINVAL),
        "a second pin"
    );
    // The same page shows in all places.
    frame.write(0, 0x4242);
    for place in [0, 1, 255, 511] {
        let value: u64;
        let at = SPARE.0 + place * 0x20_0000;
        assert_eq!(
            probe!("mov {value}, [{at}]"; at = in(reg) at, value = out(reg) value),
            None
        );
        assert_eq!(value, 0x4242);
    }
    assert_eq!(memory::unpin(hooked.l1.mfn()), Ok(0));
    for place in 0..512 {
        assert!(is_table(hooked.l1), "before place {place} goes");
        assert_eq!(memory::set_entry(hooked.l2.word_address(place), 0), Ok(0));
    }
    assert!(!is_table(hooked.l1));
}

fn hooked_page(hooked: Tables, frame: Frame) {
    let address = hooked.l1.word_address(0);
    assert_eq!(
        memory::set_entry(address, entry(frame.mfn(), KERNEL_RW)),
        Ok(0)
    );
}

fn is_table(table: Frame) -> bool {
    memory::update_va_mapping(table.va(), entry(table.mfn(), KERNEL_RW), 2).is_err()
}
