//! Another root is loaded, and its mappings are there at once; the old one's are gone.

use super::super::prelude::*;
use crate::memory::{KERNEL_RO, SPARE, TABLE, Tables, entry};
use crate::start::start_info;
use guest_abi::mmu::MmuextOp;

pub(crate) fn run() {
    let root = Frame::at(start_info().pt_base);
    let [first, second] = Frame::alloc_many();
    let hooked = Tables::hook(SPARE);
    first.write(0, 1);
    second.write(0, 2);
    let value = entry(first.mfn(), KERNEL_RO);
    assert_eq!(memory::set_entry(hooked.l1.word_address(0), value), Ok(0));

    let mut tables = Tables::new(SPARE);
    tables.l4 = Frame::alloc();
    (0..512).for_each(|slot| tables.l4.write(slot, root.read(slot)));
    tables
        .l4
        .write(memory::index(SPARE, 4), entry(tables.l3.mfn(), TABLE));
    tables.l1.write(0, entry(second.mfn(), KERNEL_RO));
    tables.protect();
    for _ in 0..3 {
        assert_eq!(read(), 1);
        assert_eq!(
            memory::mmuext_one(MmuextOp::NewBaseptr, tables.l4.mfn()),
            Ok(0)
        );
        assert_eq!(read(), 2);
        assert_eq!(memory::mmuext_one(MmuextOp::NewBaseptr, root.mfn()), Ok(0));
    }
    assert_eq!(read(), 1);
}

fn read() -> u64 {
    let value: u64;
    assert_eq!(
        probe!("mov {value}, [{at}]"; at = in(reg) SPARE.0, value = out(reg) value),
        None
    );
    value
}
