//! A store across two entries is not carried out: it is the page fault that it was.

use super::super::prelude::*;
use super::Live;

pub(crate) fn run() {
    let live = Live::new();
    let before = (live.read(0), live.read(1));
    for offset in [1, 4, 7] {
        let at = live.at(0) + offset;
        let trap = probe!("nop", "mov qword ptr [{at}], 0"; at = in(reg) at);
        let trap = trap::expect(trap, PF, PF_PRESENT | PF_WRITE);
        assert_eq!((trap.cr2, trap.offset), (at, 1));
        assert_eq!((live.read(0), live.read(1)), before);
    }
}
