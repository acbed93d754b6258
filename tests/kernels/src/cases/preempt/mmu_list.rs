//! A long list of changes to page tables, of each kind.

use super::super::prelude::*;
use super::{gives_way, listen};
use crate::memory::{
    FRAME_MASK, KERNEL_RO, KERNEL_RW, SPARE, Tables, WRITABLE, entry, mmu_update, typed_update,
};
use guest_abi::mmu::{MmuUpdate, MmuUpdateType};

const COUNT: usize = 20_000;
static mut LIST: [MmuUpdate; COUNT] = [const { MmuUpdate { ptr: 0, val: 0 } }; COUNT];

pub(crate) fn run() {
    listen();
    let tables = Tables::hook(SPARE);
    let [frame, other] = Frame::alloc_many();
    let list = &raw mut LIST;
    // SAFETY: only this function, once, uses the list.
    let list = unsafe { &mut *list };
    for kind in [
        MmuUpdateType::NormalPtUpdate,
        MmuUpdateType::PtUpdatePreserveAd,
        MmuUpdateType::MachphysUpdate,
    ] {
        for (index, slot) in list.iter_mut().enumerate() {
            let flags = [KERNEL_RO, KERNEL_RW][index / 512 % 2];
            *slot = match kind {
                MmuUpdateType::MachphysUpdate => {
                    typed_update(kind, other.mfn().address(), other.pfn().0)
                }
                _ => typed_update(
                    kind,
                    tables.l1.word_address(index % 512),
                    entry(frame.mfn(), flags),
                ),
            };
        }
        gives_way(
            "mmu_update",
            || {},
            || assert_eq!(mmu_update(list), (Ok(0), COUNT as u32), "{kind:?}"),
        );
        // The last one for each entry.
        for slot in 0..512 {
            let was_writable = (COUNT - 1 - slot) / 512 % 2 == 1;
            let now = tables.l1.read(slot);
            assert_eq!(now & WRITABLE != 0, was_writable, "{kind:?}: entry {slot}");
            assert_eq!(now & FRAME_MASK, frame.mfn().address());
        }
    }
}
