//! A descriptor that says so masks events for its handler; the frame holds the mask from before.

use super::super::prelude::*;
use guest_abi::trap::TrapFlags;

pub(crate) fn run() {
    let mut entry = trap::info(UD as u8, 0);
    entry.flags |= TrapFlags::MASK_EVENTS;
    assert_eq!(trap::set_table(&[entry]), Ok(0));
    for masked in [0, 1] {
        if masked == 0 {
            event::unmask_upcalls();
        } else {
            event::mask_upcalls();
        }
        let trap = trap::expect(probe!("ud2"), UD, 0);
        assert_eq!(trap.upcall_mask, 1, "in the handler");
        assert_eq!(trap.frame.cs >> 32, masked, "in the frame's CS");
        assert_eq!(
            trap.frame.rflags & rflags::IF == 0,
            masked == 1,
            "in the frame's IF"
        );
        assert_eq!(
            u64::from(event::vcpu_info().upcall_mask()),
            masked,
            "after the return"
        );
    }
}
