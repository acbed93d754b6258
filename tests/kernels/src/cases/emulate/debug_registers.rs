//! MOV to and from the debug registers does what the hypercalls do, refusals included.

use super::super::prelude::*;

pub(crate) fn run() {
    let mut value: u64;
    assert_eq!(
        probe!("mov dr0, {value}"; value = in(reg) 0x40_1234u64),
        None
    );
    assert_eq!(probe!("mov {value}, dr0"; value = out(reg) value), None);
    assert_eq!(value, 0x40_1234);
    assert_eq!(hypercall!(GetDebugreg, 0u64), Ok(0x40_1234));
    assert_eq!(
        probe!("mov dr3, {value}"; value = in(reg) 0x40_5678u64),
        None
    );
    assert_eq!(probe!("mov {value}, dr3"; value = out(reg) value), None);
    assert_eq!(value, 0x40_5678);
    assert_eq!(probe!("mov {value}, dr6"; value = out(reg) value), None);
    assert_eq!(value, 0xffff_0ff0);
    assert_eq!(probe!("mov {value}, dr7"; value = out(reg) value), None);
    assert_eq!(value, 0x400);
    // An address of the hypervisor.
    let trap = probe!("mov dr1, {value}"; value = in(reg) Vaddr::HYPERVISOR_START.0);
    trap::expect(trap, GP, 0);
    // General detection is not for guests.
    let trap = probe!("mov dr7, {value}"; value = in(reg) 0x2400u64);
    trap::expect(trap, GP, 0);
}
