//! Tables: those that are loaded, and new ones.

use super::{
    FRAME_MASK, Frame, KERNEL_RO, KERNEL_RW, LARGE, PRESENT, TABLE, entry, set_entry,
    update_va_mapping,
};
use crate::start::start_info;
use guest_abi::ids::{Mfn, Vaddr};
use guest_abi::mmu::UVMF_INVLPG;

/// Which of the 512 entries of a table of `level` leads to `va`.
pub(crate) fn index(va: Vaddr, level: u32) -> usize {
    (va.0 >> (12 + 9 * (level - 1)) & 511) as usize
}

/// The level-1 table that maps `va` in the initial address space, and the entry's place in it. All tables
/// on the way must lie in the initial mapping.
pub(crate) fn leaf_of(va: Vaddr) -> Option<(Frame, usize)> {
    let mut table = Frame::at(start_info().pt_base);
    for level in [4, 3, 2] {
        let entry = table.read(index(va, level));
        if entry & PRESENT == 0 || entry & LARGE != 0 {
            return None;
        }
        table = Frame::of_mfn(Mfn::of_address(entry & FRAME_MASK));
    }
    Some((table, index(va, 1)))
}

/// Takes write access from a frame's address in the initial mapping, as page tables demand it.
pub(crate) fn make_readonly(frame: Frame) {
    let outcome = update_va_mapping(frame.va(), entry(frame.mfn(), KERNEL_RO), UVMF_INVLPG);
    assert_eq!(outcome, Ok(0), "{frame:?} can't be made read-only");
}

/// Gives write access back.
pub(crate) fn make_writable(frame: Frame) {
    let outcome = update_va_mapping(frame.va(), entry(frame.mfn(), KERNEL_RW), UVMF_INVLPG);
    assert_eq!(outcome, Ok(0), "{frame:?} can't be made writable");
}

/// A new tree of four tables. They are ordinary frames until [`Tables::protect`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tables {
    pub(crate) l4: Frame,
    pub(crate) l3: Frame,
    pub(crate) l2: Frame,
    pub(crate) l1: Frame,
}

impl Tables {
    /// Tables that lead to the 2 MiB around `va` and map nothing there.
    pub(crate) fn new(va: Vaddr) -> Self {
        let [l4, l3, l2, l1] = Frame::alloc_many();
        l4.write(index(va, 4), entry(l3.mfn(), TABLE));
        l3.write(index(va, 3), entry(l2.mfn(), TABLE));
        l2.write(index(va, 2), entry(l1.mfn(), TABLE));
        Self { l4, l3, l2, l1 }
    }

    /// The four, from level 4 down.
    pub(crate) fn all(&self) -> [Frame; 4] {
        [self.l4, self.l3, self.l2, self.l1]
    }

    /// Makes all four read-only, so that they can become page tables.
    pub(crate) fn protect(&self) {
        self.all().into_iter().for_each(make_readonly);
    }

    /// Tables for the kernel's own address space, hooked into the initial root (`l4` is that root).
    pub(crate) fn hook(va: Vaddr) -> Self {
        let root = Frame::at(start_info().pt_base);
        let new = Self::new(va);
        [new.l3, new.l2, new.l1].into_iter().for_each(make_readonly);
        let address = root.word_address(index(va, 4));
        assert_eq!(set_entry(address, entry(new.l3.mfn(), TABLE)), Ok(0));
        Self { l4: root, ..new }
    }
}
