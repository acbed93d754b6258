//! A frame with a writable mapping becomes no page table, by pin, by reference or as a root.

use super::super::prelude::*;
use crate::memory::{SPARE, TABLE, Tables, entry};
use guest_abi::mmu::MmuextOp;

pub(crate) fn run() {
    let frame = Frame::alloc();
    for level in 1..=4 {
        assert_eq!(
            memory::pin(level, frame.mfn()),
            Err(Errno::EINVAL),
            "level {level}"
        );
    }
    for op in [MmuextOp::NewBaseptr, MmuextOp::NewUserBaseptr] {
        assert_eq!(
            memory::mmuext_one(op, frame.mfn()),
            Err(Errno::EINVAL),
            "{op:?}"
        );
    }
    let hooked = Tables::hook(SPARE);
    for table in [hooked.l4, hooked.l3, hooked.l2] {
        let address = table.word_address(300);
        let outcome = memory::set_entry(address, entry(frame.mfn(), TABLE));
        assert_eq!(outcome, Err(Errno::EINVAL), "{table:?}");
        assert_eq!(table.read(300), 0, "the entry stays as it was");
    }
    // Without that mapping it becomes one; the first level needs nothing else.
    memory::make_readonly(frame);
    assert_eq!(memory::pin(1, frame.mfn()), Ok(0));
}
