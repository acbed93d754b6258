//! CR2 reads as the last fault's address, and can be written; the vCPU's information follows.

use super::super::prelude::*;

pub(crate) fn run() {
    let address = 0x1234_5678_9abcu64;
    let trap = probe!("mov {tmp}, [{address}]"; address = in(reg) address, tmp = out(reg) _);
    trap::expect(trap, PF, 0);
    let mut cr2: u64;
    assert_eq!(probe!("mov {cr2}, cr2"; cr2 = out(reg) cr2), None);
    assert_eq!(cr2, address);
    assert_eq!(probe!("mov cr2, {cr2}"; cr2 = in(reg) 0x5555_0000u64), None);
    assert_eq!(probe!("mov {cr2}, cr2"; cr2 = out(reg) cr2), None);
    assert_eq!(cr2, 0x5555_0000);
    assert_eq!(event::vcpu_info().cr2(), 0x5555_0000);
}
