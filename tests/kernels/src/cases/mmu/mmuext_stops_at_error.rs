//! A list of operations is worked off in order up to the first that is refused, and the count says how far.

use super::super::prelude::*;
use guest_abi::mmu::{MmuextOp, MmuextOperation};

pub(crate) fn run() {
    let tables: [Frame; 5] = Frame::alloc_many();
    for (position, table) in tables.into_iter().enumerate() {
        // The fourth one keeps its writable mapping.
        if position != 3 {
            memory::make_readonly(table);
        }
    }
    let list = tables.map(|table| {
        let mut operation = MmuextOperation::new_zeroed();
        operation.cmd = MmuextOp::PinL1Table.number();
        operation.arg1 = table.mfn().0;
        operation
    });
    assert_eq!(memory::mmuext(&list), (Err(Errno::EINVAL), 3));
    let is_pinned = tables.map(|table| memory::unpin(table.mfn()).is_ok());
    assert_eq!(is_pinned, [true, true, true, false, false]);
    assert_eq!(memory::mmuext(&[]), (Ok(0), 0));
}
