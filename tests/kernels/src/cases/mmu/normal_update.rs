//! `mmu_update` sets entries of every level, and the mappings follow.

use super::super::prelude::*;
use crate::memory::{KERNEL_RO, KERNEL_RW, SPARE, TABLE, Tables, entry, update};

pub(crate) fn run() {
    let hooked = Tables::hook(SPARE);
    let frame = Frame::alloc();
    frame.write(5, 0x1234_5678);
    let tables = Tables::new(SPARE);
    [tables.l3, tables.l2, tables.l1]
        .into_iter()
        .for_each(memory::make_readonly);
    // In the new tree the page hangs at the very end of the root's slot.
    let (outcome, done) = memory::mmu_update(&[
        update(hooked.l1.word_address(0), entry(frame.mfn(), KERNEL_RW)),
        update(hooked.l2.word_address(511), entry(tables.l1.mfn(), TABLE)),
        update(hooked.l3.word_address(511), entry(tables.l2.mfn(), TABLE)),
        update(hooked.l4.word_address(321), entry(tables.l3.mfn(), TABLE)),
    ]);
    assert_eq!((outcome, done), (Ok(0), 4));
    assert_eq!(read(SPARE.0 + 40), Ok(0x1234_5678));
    // An entry of a table in the table's place: through both ways to it.
    assert_eq!(
        memory::set_entry(tables.l1.word_address(511), entry(frame.mfn(), KERNEL_RO)),
        Ok(0)
    );
    assert_eq!(
        read(SPARE.0 + 0x1f_f000 + 511 * 0x20_0000 + 40),
        Ok(0x1234_5678)
    );
    let other_slot = 0xffff_0000_0000_0000 | 321 << 39;
    assert_eq!(read(other_slot + 0x1f_f000 + 40), Ok(0x1234_5678));
    // And gone.
    assert_eq!(memory::set_entry(hooked.l4.word_address(321), 0), Ok(0));
    assert_eq!(read(other_slot + 0x1f_f000 + 40), Err(PF));
    assert_eq!(memory::set_entry(hooked.l1.word_address(0), 0), Ok(0));
    assert_eq!(
        memory::mmuext_one(guest_abi::mmu::MmuextOp::TlbFlushLocal, Mfn(0)),
        Ok(0)
    );
    assert_eq!(read(SPARE.0 + 40), Err(PF));
}

fn read(at: u64) -> Result<u64, u64> {
    let value: u64;
    match probe!("mov {value}, [{at}]"; at = in(reg) at, value = out(reg) value) {
        None => Ok(value),
        Some(trap) => Err(trap.frame.vector),
    }
}
