//! Loading a selector whose descriptor is not present is vector 11 with the selector as error code.

use super::super::prelude::*;

pub(crate) fn run() {
    let table = Frame::alloc();
    // Data, writable, privilege level 3, not present.
    table.write(2, 0x00cf_7200_0000_ffff);
    memory::make_readonly(table);
    assert_eq!(hypercall!(SetGdt, &[table.mfn()][..], 16u64), Ok(0));
    let trap = probe!("mov ds, {selector:e}"; selector = in(reg) 2 << 3 | 3);
    trap::expect(trap, NP, 2 << 3);
}
