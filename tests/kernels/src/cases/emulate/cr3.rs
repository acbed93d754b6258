//! CR3 reads as the machine address of the kernel's root, and a write of another root loads that.

use super::super::prelude::*;
use crate::start::start_info;
use guest_abi::mmu::MmuextOp;

pub(crate) fn run() {
    let root = Frame::at(start_info().pt_base);
    assert_eq!(read(), root.mfn().address());

    // A second root with the same content.
    let other = Frame::alloc();
    (0..512).for_each(|slot| other.write(slot, root.read(slot)));
    memory::make_readonly(other);
    assert_eq!(write(other.mfn().address()), None);
    assert_eq!(read(), other.mfn().address());
    assert_eq!(write(root.mfn().address()), None);
    assert_eq!(read(), root.mfn().address());

    // What can't be a root is refused.
    trap::expect(write(Frame::alloc().mfn().address()), GP, 0);
    assert_eq!(read(), root.mfn().address());
    // The second root is free again.
    assert_eq!(
        memory::mmuext_one(MmuextOp::UnpinTable, other.mfn()),
        Err(Errno::EINVAL)
    );
    memory::make_writable(other);
}

fn read() -> u64 {
    let cr3;
    assert_eq!(probe!("mov {cr3}, cr3"; cr3 = out(reg) cr3), None);
    cr3
}

fn write(cr3: u64) -> Option<trap::Trap> {
    probe!("mov cr3, {cr3}"; cr3 = in(reg) cr3)
}
