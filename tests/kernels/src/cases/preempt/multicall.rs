//! A list of calls stops between two of them; and one of them that is long by itself stops the list, which goes on there.

use super::super::prelude::*;
use super::{Tree, gives_way, listen};
use crate::memory::unpin;
use guest_abi::hypercall::Hypercall;
use guest_abi::mmu::{MmuextOp, MmuextOperation};
use guest_abi::multicall::MulticallEntry;

const COUNT: usize = 6000;
static mut LIST: [MulticallEntry; COUNT] = [const {
    MulticallEntry {
        op: 0,
        result: 0,
        args: [0; 6],
    }
}; COUNT];

pub(crate) fn run() {
    listen();
    let list = &raw mut LIST;
    // SAFETY: only this function, once, uses the list.
    let list = unsafe { &mut *list };
    list.iter_mut()
        .for_each(|entry| entry.op = Hypercall::Version.number());
    gives_way(
        "a list of short calls",
        || {},
        || {
            list.iter_mut().for_each(|entry| entry.result = 0x1111);
            assert_eq!(hypercall!(Multicall, &mut list[..], COUNT), Ok(0));
            assert!(list.iter().all(|entry| entry.result == 4 << 16 | 17));
        },
    );

    let root = Tree::new(Vaddr(0x40_0000)).l4;
    let is_pinned = core::cell::Cell::new(false);
    let mut pin = MmuextOperation::new_zeroed();
    (pin.cmd, pin.arg1) = (MmuextOp::PinL4Table.number(), root.mfn().0);
    gives_way(
        "a long call in a list",
        || {
            if is_pinned.replace(false) {
                assert_eq!(unpin(root.mfn()), Ok(0));
            }
        },
        || {
            let short = list[0];
            let mut three = [short; 3];
            three.iter_mut().for_each(|entry| entry.result = 0x1111);
            three[1].op = Hypercall::MmuextOp.number();
            let at = &raw const pin as u64;
            three[1].args = [at, 1, 0, u64::from(DomId::SELF.0), 0, 0];
            assert_eq!(hypercall!(Multicall, &mut three[..], 3u64), Ok(0));
            assert_eq!(
                three.map(|entry| entry.result),
                [4 << 16 | 17, 0, 4 << 16 | 17]
            );
            is_pinned.set(true);
        },
    );
    assert_eq!(unpin(root.mfn()), Ok(0));
}
