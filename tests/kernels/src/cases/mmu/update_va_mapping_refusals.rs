//! `update_va_mapping` refuses addresses without a level-1 table, the hypervisor's among them.

use super::super::prelude::*;
use crate::memory::{KERNEL_RO, entry};

pub(crate) fn run() {
    let frame = Frame::alloc();
    let value = entry(frame.mfn(), KERNEL_RO);
    for va in [
        memory::SPARE.0,
        0x1000,
        Vaddr::M2P_START.0,
        Vaddr::HYPERVISOR_END.0 - 0x1000,
        NON_CANONICAL,
    ] {
        let outcome = memory::update_va_mapping(Vaddr(va), value, 0);
        assert_eq!(outcome, Err(Errno::EINVAL), "{va:#x}");
    }
    let bad = entry(Mfn(0x80_0000_0000), KERNEL_RO);
    assert_eq!(
        memory::update_va_mapping(frame.va(), bad, 0),
        Err(Errno::EPERM)
    );
    // The flush type that is none; a bitmap that can't be read.
    assert_eq!(memory::update_va_mapping(frame.va(), value, 3), Ok(0));
    assert_eq!(
        memory::update_va_mapping(frame.va(), value, 2 | 0x1_0000_0000),
        Err(Errno::EFAULT)
    );
    assert_eq!(memory::update_va_mapping(frame.va(), value, 2), Ok(0));
}
