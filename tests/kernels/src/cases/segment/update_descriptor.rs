//! `update_descriptor` writes a descriptor of a loaded table, and of plain memory, with the level that it
//! must have.

use super::super::prelude::*;
use super::{data, load_gdt};

pub(crate) fn run() {
    let [table, plain] = Frame::alloc_many();
    memory::make_readonly(table);
    assert_eq!(load_gdt(table.mfn()), Ok(0));
    for level in [0u64, 1, 3] {
        let outcome = hypercall!(UpdateDescriptor, table.word_address(4), data(0x1000, level));
        assert_eq!(outcome, Ok(0));
        // The processor may have marked it accessed.
        assert_eq!(table.read(4) | 1 << 40, data(0x1000, 3) | 1 << 40);
        let trap = probe!(
            "mov fs, {selector:e}",
            "mov fs, {null:e}";
            selector = in(reg) 4 << 3 | 3,
            null = in(reg) 0,
        );
        assert_eq!(trap, None);
    }
    let outcome = hypercall!(UpdateDescriptor, plain.word_address(5), data(0x2000, 3));
    assert_eq!(outcome, Ok(0));
    assert_eq!(plain.read(5), data(0x2000, 3));
    assert_eq!(
        hypercall!(UpdateDescriptor, table.word_address(4), 0u64),
        Ok(0)
    );
    assert_eq!(table.read(4), 0);
}
