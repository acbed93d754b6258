//! Loading SS with a descriptor that is not present is vector 12 with the selector as error code.

use super::super::prelude::*;

pub(crate) fn run() {
    let table = Frame::alloc();
    table.write(2, 0x00cf_7200_0000_ffff);
    memory::make_readonly(table);
    assert_eq!(hypercall!(SetGdt, &[table.mfn()][..], 16u64), Ok(0));
    let trap = probe!("mov ss, {selector:e}"; selector = in(reg) 2 << 3 | 3);
    trap::expect(trap, SS, 2 << 3);
}
