//! A store of an entry that is refused is the page fault that it was, and changes nothing.

use super::super::prelude::*;
use super::Live;
use crate::memory::{KERNEL_RO, KERNEL_RW, entry};

pub(crate) fn run() {
    let live = Live::new();
    let table = live.tables.l1;
    for bad in [
        // A writable mapping of a table: this one.
        entry(table.mfn(), KERNEL_RW),
        // A frame that no machine has, and one that is the hypervisor's.
        entry(Mfn(0x80_0000_0000), KERNEL_RO),
        entry(Mfn(0xfee00), KERNEL_RW),
    ] {
        let trap = probe!("nop", "mov [{at}], {bad}"; at = in(reg) live.at(0), bad = in(reg) bad);
        let trap = trap::expect(trap, PF, PF_PRESENT | PF_WRITE);
        assert_eq!((trap.cr2, trap.offset), (live.at(0), 1), "{bad:#x}");
        assert_eq!(live.read(0), live.value);
    }
}
