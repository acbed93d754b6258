//! An entry that allows writes is not enough where a table on the way to it forbids them: the store is the kernel's
//! page fault, at whichever level that is.

use super::super::prelude::*;
use crate::memory::{KERNEL_RW, SPARE, TABLE, Tables, WRITABLE, entry, index};
use guest_abi::mmu::MmuextOp;

pub(crate) fn run() {
    let tables = Tables::hook(SPARE);
    let frame = Frame::alloc();
    let leaf = tables.l1.word_address(index(SPARE, 1));
    assert_eq!(
        memory::set_entry(leaf, entry(frame.mfn(), KERNEL_RW)),
        Ok(0)
    );
    for (level, table, below) in [
        (4, tables.l4, tables.l3),
        (3, tables.l3, tables.l2),
        (2, tables.l2, tables.l1),
    ] {
        let address = table.word_address(index(SPARE, level));
        let forbidding = entry(below.mfn(), TABLE & !WRITABLE);
        assert_eq!(memory::set_entry(address, forbidding), Ok(0));
        flush();
        assert!(read().is_none(), "level {level}");
        let trap = trap::expect(write(), PF, PF_PRESENT | PF_WRITE);
        assert_eq!(trap.cr2, SPARE.0, "level {level}");
        assert_eq!(memory::set_entry(address, entry(below.mfn(), TABLE)), Ok(0));
        flush();
        assert!(write().is_none(), "level {level}");
    }
}

fn flush() {
    assert_eq!(memory::mmuext_one(MmuextOp::TlbFlushLocal, Mfn(0)), Ok(0));
}

fn read() -> Option<trap::Trap> {
    probe!("mov {tmp}, [{at}]"; at = in(reg) SPARE.0, tmp = out(reg) _)
}

fn write() -> Option<trap::Trap> {
    probe!("mov byte ptr [{at}], 1"; at = in(reg) SPARE.0)
}
