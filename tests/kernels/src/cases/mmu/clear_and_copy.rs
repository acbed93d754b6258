//! Pages are cleared and copied by frame number; what is a table is left alone.

use super::super::prelude::*;
use guest_abi::mmu::MmuextOp;

pub(crate) fn run() {
    let [source, target, table] = Frame::alloc_many();
    (0..512).for_each(|index| source.write(index, index as u64 * 3 + 1));
    let copy = |to: Frame, from: Mfn| memory::mmuext_two(MmuextOp::CopyPage, to.mfn().0, from.0);
    assert_eq!(copy(target, source.mfn()), Ok(0));
    assert!((0..512).all(|index| target.read(index) == index as u64 * 3 + 1));
    assert_eq!(memory::mmuext_one(MmuextOp::ClearPage, target.mfn()), Ok(0));
    assert!((0..512).all(|index| target.read(index) == 0));
    assert_eq!(copy(target, Mfn(0x7f_ffff_ffff)), Err(Errno::EINVAL));
    memory::make_readonly(table);
    assert_eq!(memory::pin(1, table.mfn()), Ok(0));
    assert_eq!(
        memory::mmuext_one(MmuextOp::ClearPage, table.mfn()),
        Err(Errno::EINVAL)
    );
    assert_eq!(copy(table, source.mfn()), Err(Errno::EINVAL));
    assert_eq!(copy(target, table.mfn()), Ok(0), "a table can be read");
}
