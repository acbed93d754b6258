//! The update type for guests with machine frame numbers is the ordinary one.

use super::super::prelude::*;
use crate::memory::{KERNEL_RO, LARGE, SPARE, TABLE, Tables, entry, typed_update};
use guest_abi::mmu::MmuUpdateType;

pub(crate) fn run() {
    let hooked = Tables::hook(SPARE);
    let frame = Frame::alloc();
    let of_type = |address, value| {
        memory::mmu_update(&[typed_update(
            MmuUpdateType::PtUpdateNoTranslate,
            address,
            value,
        )])
    };
    let value = entry(frame.mfn(), KERNEL_RO);
    assert_eq!(of_type(hooked.l1.word_address(3), value), (Ok(0), 1));
    assert_eq!(
        hooked.l1.read(3) & memory::FRAME_MASK,
        frame.mfn().address()
    );
    let value = entry(frame.mfn(), TABLE | LARGE);
    assert_eq!(
        of_type(hooked.l2.word_address(3), value),
        (Err(Errno::EINVAL), 0)
    );
}
