//! `mmuext_op` refuses operations that are unknown, withdrawn or not for foreign domains, and lists that
//! it can't read.

use super::super::prelude::*;
use guest_abi::mmu::{MmuextOp, MmuextOperation};

pub(crate) fn run() {
    for (cmd, errno) in [
        (MmuextOp::MarkSuper.number(), Errno::EOPNOTSUPP),
        (MmuextOp::UnmarkSuper.number(), Errno::EOPNOTSUPP),
        (14, Errno::ENOSYS),
        (21, Errno::ENOSYS),
        (0xffff_ffff, Errno::ENOSYS),
    ] {
        let mut operation = MmuextOperation::new_zeroed();
        operation.cmd = cmd;
        assert_eq!(
            memory::mmuext(&[operation]),
            (Err(errno), 0),
            "operation {cmd:#x}"
        );
    }
    let mut operation = MmuextOperation::new_zeroed();
    operation.cmd = MmuextOp::TlbFlushLocal.number();
    let mut done = 0u32;
    let mut call = |list: u64, owner: u16| hypercall!(MmuextOp, list, 1u64, &mut done, owner);
    let list = core::ptr::from_ref(&operation) as u64;
    assert_eq!(call(list, 0x1234), Err(Errno::ESRCH));
    assert_eq!(
        call(list, DomId::IO.0),
        Err(Errno::EPERM),
        "not for foreign domains"
    );
    for pointer in [
        0,
        Vaddr::HYPERVISOR_START.0 + 0x4000_0000_0000,
        NON_CANONICAL,
    ] {
        assert_eq!(
            call(pointer, DomId::SELF.0),
            Err(Errno::EFAULT),
            "{pointer:#x}"
        );
    }
    assert_eq!(call(list, DomId::SELF.0), Ok(0));
}
