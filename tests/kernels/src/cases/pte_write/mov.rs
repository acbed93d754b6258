//! MOV of a register and of an immediate into an entry, in the addressing forms that compilers use.

use super::super::prelude::*;
use super::Live;
use crate::memory::DIRTY;

pub(crate) fn run() {
    let live = Live::new();
    let other = live.value & !DIRTY;
    assert_eq!(
        probe!("mov [{at}], {value}"; at = in(reg) live.at(1), value = in(reg) live.value),
        None
    );
    assert_eq!(live.read(1), live.value);
    assert_eq!(
        probe!("mov [{at}], {value}"; at = in(reg) live.at(1), value = in(reg) other),
        None
    );
    assert_eq!(live.read(1), other);
    assert_eq!(
        probe!("mov qword ptr [{at}], 0"; at = in(reg) live.at(1)),
        None
    );
    assert_eq!(live.read(1), 0);
    assert_eq!(
        probe!("mov qword ptr [{at}], 0x7ffffffe"; at = in(reg) live.at(1)),
        None
    );
    assert_eq!(live.read(1), 0x7fff_fffe, "an entry that is not present");
    assert_eq!(
        probe!("mov qword ptr [{at}], -2"; at = in(reg) live.at(1)),
        None
    );
    assert_eq!(live.read(1), !1, "the immediate is sign-extended");
    // Base, index and displacement; registers of the second eight.
    let trap = probe!(
        "mov [r12 + r13 * 8 + 0x18], r14";
        in("r12") live.at(0),
        in("r13") 4u64,
        in("r14") live.value,
    );
    assert_eq!((trap, live.read(7)), (None, live.value));
    let trap = probe!("mov [rax - 0x80], rdx"; in("rax") live.at(20), in("rdx") live.value);
    assert_eq!((trap, live.read(4)), (None, live.value));
    // The mapping is there.
    let at = memory::SPARE.0 + 4 * 4096;
    assert_eq!(probe!("mov qword ptr [{at}], 99"; at = in(reg) at), None);
    assert_eq!(live.frame.read(0), 99);
}
