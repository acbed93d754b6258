//! AND, OR, XOR, ADD, SUB and their kin on an entry, by register and by immediate, locked and not, with
//! the flags that they set.

use super::super::prelude::*;
use super::Live;
use crate::memory::{ACCESSED, DIRTY, WRITABLE};

pub(crate) fn run() {
    let live = Live::new();
    let at = live.at(0);
    assert_eq!(
        probe!("and qword ptr [{at}], {mask}"; at = in(reg) at, mask = in(reg) !WRITABLE),
        None
    );
    assert_eq!(live.read(0), live.value & !WRITABLE);
    assert_eq!(probe!("lock or qword ptr [{at}], 2"; at = in(reg) at), None);
    assert_eq!(live.read(0), live.value);
    assert_eq!(
        probe!("lock and qword ptr [{at}], {mask}"; at = in(reg) at, mask = const !0x40i32),
        None
    );
    assert_eq!(live.read(0), live.value & !DIRTY);
    assert_eq!(probe!("xor qword ptr [{at}], 0x60"; at = in(reg) at), None);
    assert_eq!(live.read(0), (live.value | DIRTY) & !ACCESSED);
    assert_eq!(probe!("add qword ptr [{at}], 0x20"; at = in(reg) at), None);
    assert_eq!(live.read(0), live.value);
    assert_eq!(
        probe!("sub qword ptr [{at}], {value}"; at = in(reg) at, value = in(reg) live.value),
        None
    );
    assert_eq!(live.read(0), 0);
    let (is_zero, is_carry): (u8, u8);
    let trap = probe!(
        "stc",
        "or qword ptr [{at}], 0",
        "sete {zero}",
        "setc {carry}";
        at = in(reg) at,
        zero = out(reg_byte) is_zero,
        carry = out(reg_byte) is_carry,
    );
    assert_eq!((trap, is_zero, is_carry), (None, 1, 0));
    let mut old = live.value;
    assert_eq!(
        probe!("lock xadd [{at}], {old}"; at = in(reg) at, old = inout(reg) old),
        None
    );
    assert_eq!((old, live.read(0)), (0, live.value));
    assert_eq!(probe!("dec qword ptr [{at}]"; at = in(reg) at), None);
    assert_eq!(live.read(0), live.value - 1, "present goes");
    assert_eq!(probe!("inc qword ptr [{at}]"; at = in(reg) at), None);
    assert_eq!(live.read(0), live.value);
}
