//! Breakpoints on data and on code stop the kernel with vector 1, and DR6 says which it was.

use super::super::prelude::*;

pub(crate) fn run() {
    let frame = Frame::alloc();
    let set = |register: u64, value: u64| {
        assert_eq!(hypercall!(SetDebugreg, register, value), Ok(0));
    };
    set(1, frame.va().0 + 8);
    // The second register: writes (1), eight bytes (2).
    set(7, 0b1001 << 20 | 1 << 2);
    assert_eq!(
        probe!("mov {tmp}, [{at}]"; at = in(reg) frame.va().0 + 8, tmp = out(reg) _),
        None
    );
    assert_eq!(probe!("mov [{at}], {at}"; at = in(reg) frame.va().0), None);
    let trap = probe!("mov byte ptr [{at}], 5", "nop"; at = in(reg) frame.va().0 + 12);
    trap::expect(trap, DB, 0);
    assert_eq!(hypercall!(GetDebugreg, 6u64).map(|dr6| dr6 & 0xf), Ok(2));
    assert_eq!(frame.read(1), 5 << 32, "the write is done");
    // Without it being on.
    set(6, 0);
    set(7, 0);
    assert_eq!(
        probe!("mov byte ptr [{at}], 5"; at = in(reg) frame.va().0 + 12),
        None
    );

    // On code, before the instruction.
    let code = Frame::alloc();
    code.write(0, 0xc390_9090); // nop, nop, nop, ret
    set(0, code.va().0 + 1);
    set(7, 1);
    let trap = probe!("call {at}"; at = in(reg) code.va().0);
    let trap = trap::expect(trap, DB, 0);
    assert_eq!(trap.frame.rip, code.va().0 + 1);
    assert_eq!(hypercall!(GetDebugreg, 6u64).map(|dr6| dr6 & 0xf), Ok(1));
    set(7, 0);
    assert_eq!(probe!("call {at}"; at = in(reg) code.va().0), None);
}
