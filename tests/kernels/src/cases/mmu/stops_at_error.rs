//! A list of updates is worked off in order up to the first that is refused, and the count says how far.

use super::super::prelude::*;
use crate::memory::{KERNEL_RO, SPARE, Tables, entry, update};

pub(crate) fn run() {
    let hooked = Tables::hook(SPARE);
    let frame = Frame::alloc();
    let value = entry(frame.mfn(), KERNEL_RO);
    for position in [0usize, 1, 5, 9] {
        (0..10).for_each(|index| {
            assert_eq!(memory::set_entry(hooked.l1.word_address(index), 0), Ok(0));
        });
        let list: [_; 10] = core::array::from_fn(|index| {
            let value = if index == position {
                entry(Mfn(0x80_0000_0000), KERNEL_RO)
            } else {
                value
            };
            update(hooked.l1.word_address(index), value)
        });
        let (outcome, done) = memory::mmu_update(&list);
        assert_eq!((outcome, done), (Err(Errno::EPERM), position as u32));
        for index in 0..10 {
            assert_eq!(
                hooked.l1.read(index) != 0,
                index < position,
                "entry {index}"
            );
        }
    }
    // An empty list does nothing.
    assert_eq!(memory::mmu_update(&[]), (Ok(0), 0));
}
