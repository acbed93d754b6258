//! XCHG with an entry gives the old one back, locked or not.

use super::super::prelude::*;
use super::Live;

pub(crate) fn run() {
    let live = Live::new();
    let mut value = 0u64;
    assert_eq!(
        probe!("xchg [{at}], {value}"; at = in(reg) live.at(0), value = inout(reg) value),
        None
    );
    assert_eq!((value, live.read(0)), (live.value, 0));
    assert_eq!(
        probe!("lock xchg [{at}], {value}"; at = in(reg) live.at(0), value = inout(reg) value),
        None
    );
    assert_eq!((value, live.read(0)), (0, live.value));
    // A value that is refused leaves both as they were.
    let mut bad = live.value | 1 << 46;
    let expected = bad;
    let trap = probe!("xchg [{at}], {value}"; at = in(reg) live.at(0), value = inout(reg) bad);
    trap::expect(trap, PF, PF_PRESENT | PF_WRITE);
    assert_eq!((bad, live.read(0)), (expected, live.value));
}
