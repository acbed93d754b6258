//! Pins are refused twice over, unpins of what is not pinned, and frames that are not the domain's.

use super::super::prelude::*;
use guest_abi::mmu::MmuextOp;

pub(crate) fn run() {
    let frame = Frame::alloc();
    assert_eq!(
        memory::unpin(frame.mfn()),
        Err(Errno::EINVAL),
        "never pinned"
    );
    memory::make_readonly(frame);
    assert_eq!(memory::pin(1, frame.mfn()), Ok(0));
    assert_eq!(
        memory::pin(1, frame.mfn()),
        Err(Errno::EINVAL),
        "pinned twice"
    );
    assert_eq!(memory::unpin(frame.mfn()), Ok(0));
    assert_eq!(
        memory::unpin(frame.mfn()),
        Err(Errno::EINVAL),
        "unpinned twice"
    );
    for mfn in [Mfn(0x7f_ffff_ffff), Mfn(u64::MAX), Mfn(0xb8)] {
        for op in [
            MmuextOp::PinL1Table,
            MmuextOp::PinL4Table,
            MmuextOp::UnpinTable,
            MmuextOp::NewBaseptr,
            MmuextOp::NewUserBaseptr,
            MmuextOp::ClearPage,
        ] {
            let outcome = memory::mmuext_one(op, mfn);
            assert_eq!(outcome, Err(Errno::EINVAL), "{op:?} of {mfn}");
        }
    }
}
