//! A call gate may lead to the guest's own code only, never to the hypervisor's.

use super::super::prelude::*;
use super::load_gdt;

/// A 64-bit call gate of level 3 to a selector.
const fn gate(selector: u64) -> u64 {
    0x0000_ec00_0000_1000 | selector << 16
}

pub(crate) fn run() {
    let table = Frame::alloc();
    memory::make_readonly(table);
    assert_eq!(load_gdt(table.mfn()), Ok(0));
    let update = |descriptor: u64| hypercall!(UpdateDescriptor, table.word_address(8), descriptor);
    for selector in [0xe008u64, 0xe010, 0xe018, 0xe040, 0xffff] {
        let outcome = update(gate(selector));
        // A selector with the bit of the local table is the guest's, whatever its number.
        let is_local = selector & 4 != 0;
        assert_eq!(outcome.is_err(), !is_local, "to {selector:#x}");
    }
    for selector in [0x10u64, 0xe033, 0xdff8] {
        assert_eq!(update(gate(selector)), Ok(0), "to {selector:#x}");
    }
    // Nobody calls through it: it is level 0 now.
    assert_eq!(table.read(8) >> 45 & 3, 0);
}
