//! Stores into tables of the other levels, into descriptor tables and into plain read-only pages are page
//! faults; only level 1 is carried out.

use super::super::prelude::*;
use super::Live;

pub(crate) fn run() {
    let live = Live::new();
    let [gdt, plain] = Frame::alloc_many();
    [gdt, plain].into_iter().for_each(memory::make_readonly);
    assert_eq!(hypercall!(SetGdt, &[gdt.mfn()][..], 512u64), Ok(0));
    for frame in [live.tables.l2, live.tables.l3, live.tables.l4, gdt, plain] {
        let at = frame.va().0 + 0x900;
        let before = frame.read(0x120);
        let trap = probe!("mov qword ptr [{at}], 0"; at = in(reg) at);
        let trap = trap::expect(trap, PF, PF_PRESENT | PF_WRITE);
        assert_eq!(trap.cr2, at);
        assert_eq!(frame.read(0x120), before);
    }
}
