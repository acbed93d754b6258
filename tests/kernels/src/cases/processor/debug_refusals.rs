//! Breakpoints in the hypervisor, at no address, on ports, and the trap of general detection are refused; and the other
//! names of DR6 and DR7 once CR4.DE has taken them away.

use super::super::prelude::*;

pub(crate) fn run() {
    let set = |register: u64, value: u64| hypercall!(SetDebugreg, register, value);
    for address in [
        Vaddr::HYPERVISOR_START.0,
        Vaddr::HYPERVISOR_END.0 - 1,
        NON_CANONICAL,
    ] {
        for register in 0..4u64 {
            assert_eq!(
                set(register, address),
                Err(Errno::EPERM),
                "DR{register} {address:#x}"
            );
            assert_eq!(hypercall!(GetDebugreg, register), Ok(0));
        }
    }
    assert_eq!(set(7, 1 << 13), Err(Errno::EPERM), "general detection");
    // Type 2 of the first register is a breakpoint on ports, or nothing.
    assert_eq!(set(7, 2 << 16 | 1), Err(Errno::EPERM), "ports");
    assert_eq!(set(6, 1 << 32), Err(Errno::EINVAL));
    assert_eq!(set(7, 1 << 32), Err(Errno::EINVAL));
    const DE: u64 = 1 << 3;
    for register in [4u64, 5] {
        assert!(hypercall!(GetDebugreg, register).is_ok(), "DR{register}");
    }
    let cr4: u64;
    assert_eq!(probe!("mov {cr4}, cr4"; cr4 = out(reg) cr4), None);
    assert_eq!(probe!("mov cr4, {cr4}"; cr4 = in(reg) cr4 | DE), None);
    for register in [4u64, 5, 8, 15, 1000] {
        assert_eq!(set(register, 0), Err(Errno::ENODEV), "DR{register}");
        assert_eq!(
            hypercall!(GetDebugreg, register),
            Err(Errno::ENODEV),
            "DR{register}"
        );
    }
}
