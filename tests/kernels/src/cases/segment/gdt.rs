//! The kernel's own descriptors work once their table is loaded, privileged ones at level 3; the
//! hypervisor's stay where they are.

use super::super::prelude::*;
use super::{data, load_gdt};

pub(crate) fn run() {
    let table = Frame::alloc();
    table.write(2, data(0x10_0000, 0));
    table.write(3, data(0x20_0000, 3));
    memory::make_readonly(table);
    assert_eq!(load_gdt(table.mfn()), Ok(0));
    // A descriptor of level 0 has become one of level 3.
    assert_eq!(table.read(2) >> 45 & 3, 3);
    let base: u64;
    let trap = probe!(
        "mov fs, {first:e}",
        "mov fs, {second:e}",
        "mov ecx, 0xc0000100",
        "rdmsr",
        "mov fs, {null:e}";
        first = in(reg) 2 << 3 | 3,
        second = in(reg) 3 << 3 | 3,
        null = in(reg) 0,
        out("rax") base,
        out("rdx") _,
        out("rcx") _,
    );
    assert_eq!((trap, base), (None, 0x20_0000));
    // The hypervisor's selectors.
    for selector in [0xe023u64, 0xe02b, 0xe033] {
        let limit: u64;
        let trap = probe!("lsl {limit:e}, {selector:e}"; limit = out(reg) limit, selector = in(reg) selector);
        assert_eq!((trap, limit), (None, 0xffff_ffff), "{selector:#x}");
    }
    // Beyond the entries that were given: not there, though the frame goes on.
    assert_eq!(hypercall!(SetGdt, &[table.mfn()][..], 2u64), Ok(0));
    // None at all.
    assert_eq!(hypercall!(SetGdt, 0u64, 0u64), Ok(0));
    let trap = probe!("mov fs, {selector:e}"; selector = in(reg) 2 << 3 | 3);
    assert!(trap.is_some(), "a descriptor of a table that is gone");
}
