//! The operations that flush one address or all make changed entries visible.

use super::super::prelude::*;
use crate::memory::{KERNEL_RO, SPARE, Tables, entry};
use guest_abi::mmu::MmuextOp;

pub(crate) fn run() {
    let hooked = Tables::hook(SPARE);
    let frames: [Frame; 2] = Frame::alloc_many();
    frames[0].write(0, 10);
    frames[1].write(0, 11);
    let bitmap = [1u64; 4];
    let pointer = bitmap.as_ptr() as u64;
    let address = hooked.l1.word_address(0);
    for round in 0..3 {
        for (op, arg1, arg2) in [
            (MmuextOp::InvlpgLocal, SPARE.0, 0),
            (MmuextOp::TlbFlushLocal, 0, 0),
            (MmuextOp::InvlpgAll, SPARE.0, 0),
            (MmuextOp::TlbFlushAll, 0, 0),
            (MmuextOp::InvlpgMulti, SPARE.0, pointer),
            (MmuextOp::TlbFlushMulti, 0, pointer),
        ] {
            for frame in frames {
                let value = entry(frame.mfn(), KERNEL_RO);
                assert_eq!(memory::set_entry(address, value), Ok(0));
                assert_eq!(memory::mmuext_two(op, arg1, arg2), Ok(0), "{op:?}");
                let value: u64;
                let trap =
                    probe!("mov {value}, [{at}]"; at = in(reg) SPARE.0, value = out(reg) value);
                assert_eq!(
                    (trap, value),
                    (None, frame.read(0)),
                    "{op:?}, round {round}"
                );
            }
        }
    }
    // Any address will do, the hypervisor's and none too.
    for va in [Vaddr::HYPERVISOR_START.0, 0x1000] {
        assert_eq!(memory::mmuext_two(MmuextOp::InvlpgLocal, va, 0), Ok(0));
    }
    for op in [MmuextOp::InvlpgMulti, MmuextOp::TlbFlushMulti] {
        assert_eq!(
            memory::mmuext_two(op, SPARE.0, 0x1_0000_0000),
            Err(Errno::EINVAL),
            "{op:?}"
        );
    }
}
