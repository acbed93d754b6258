//! CLTS clears the virtual task-switched flag.

use super::super::prelude::*;

pub(crate) fn run() {
    assert_eq!(hypercall!(FpuTaskswitch, 1u64), Ok(0));
    assert_eq!(probe!("clts"), None);
    assert_eq!(probe!("movups xmm0, xmm1"), None);
    let cr0: u64;
    assert_eq!(probe!("mov {cr0}, cr0"; cr0 = out(reg) cr0), None);
    assert_eq!(cr0 & 8, 0);
}
