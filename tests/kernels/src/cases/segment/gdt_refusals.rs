//! `set_gdt` refuses tables that are too long, frames that are not the domain's, and frames with a
//! descriptor that no guest may have.

use super::super::prelude::*;
use super::load_gdt;

pub(crate) fn run() {
    let table = Frame::alloc();
    memory::make_readonly(table);
    let frames = [table.mfn(); 15];
    assert_eq!(hypercall!(SetGdt, &frames, 7168u64), Ok(0), "the longest");
    assert_eq!(hypercall!(SetGdt, &frames, 7169u64), Err(Errno::EINVAL));
    assert_eq!(load_gdt(Mfn(0x7f_ffff_ffff)), Err(Errno::EINVAL));
    assert_eq!(hypercall!(SetGdt, 0u64, 0u64), Ok(0));
    // An interrupt gate, a task segment, a local table.
    for bad in [
        0x0000_ee00_0000_0000u64,
        0x0000_8900_0000_0067,
        0x0000_8200_0000_0fff,
    ] {
        memory::make_writable(table);
        table.write(511, bad);
        memory::make_readonly(table);
        assert_eq!(load_gdt(table.mfn()), Err(Errno::EINVAL), "{bad:#x}");
        // Refused, it is plain memory.
        memory::make_writable(table);
        // The same, not present: anything goes.
        table.write(511, bad & !(1 << 47));
        memory::make_readonly(table);
        assert_eq!(load_gdt(table.mfn()), Ok(0), "{bad:#x} not present");
        assert_eq!(hypercall!(SetGdt, 0u64, 0u64), Ok(0));
    }
}
