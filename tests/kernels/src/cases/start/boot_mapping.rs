//! The initial mapping: every page up to its end is mapped, frame after frame; page tables read-only, all
//! else writable; nothing but the kernel's and the hypervisor's root slots is used.

use super::super::prelude::*;
use crate::memory::{FRAME_MASK, LARGE, PRESENT, WRITABLE};
use crate::notes::VIRT_BASE;
use crate::start::{initial, start_info};
use core::sync::atomic::Ordering::Relaxed;

pub(crate) fn run() {
    let info = start_info();
    let root = Frame::at(info.pt_base);
    for slot in (0..512).filter(|slot| !(256..272).contains(slot) && *slot != 511) {
        assert_eq!(root.read(slot) & PRESENT, 0, "root slot {slot}");
    }

    let stack_end = initial().rsp.load(Relaxed);
    let end = (stack_end + (512 << 10)).next_multiple_of(4 << 20);
    let tables = info.pt_base.0..info.pt_base.0 + info.nr_pt_frames * 4096;
    for va in (VIRT_BASE..end).step_by(4096) {
        let frame = Frame::at(Vaddr(va));
        let Some((table, index)) = memory::leaf_of(Vaddr(va)) else {
            panic!("{va:#x} has no level-1 table");
        };
        let entry = table.read(index);
        assert_ne!(entry & PRESENT, 0, "{va:#x} is not mapped");
        // (The shared page has taken the place of one frame since the start.)
        if entry & FRAME_MASK == info.shared_info {
            continue;
        }
        assert_eq!(
            entry & FRAME_MASK,
            frame.mfn().address(),
            "{va:#x} maps another frame"
        );
        let is_table = tables.contains(&va);
        assert_eq!(entry & WRITABLE == 0, is_table, "{va:#x}: entry {entry:#x}");
        if is_table {
            let holes = (0..512).map(|index| frame.read(index) & LARGE);
            // Level-1 entries have another meaning for the bit, and none is set here.
            assert_eq!(
                holes.fold(0, |all, bit| all | bit),
                0,
                "{va:#x}: a large page"
            );
        }
    }
    let (table, index) = memory::leaf_of(Vaddr(end)).unwrap_or((root, 0));
    assert_eq!(
        table.read(index) & PRESENT,
        0,
        "the mapping goes on at {end:#x}"
    );
}
