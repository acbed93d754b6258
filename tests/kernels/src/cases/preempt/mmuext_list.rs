//! A long list of operations of which each is short.

use super::{gives_way, listen};
use crate::memory::{SPARE, mmuext};
use guest_abi::mmu::{MmuextOp, MmuextOperation};

const COUNT: usize = 8000;
static mut LIST: [MmuextOperation; COUNT] = [const { zerocopy::transmute!([0u8; 24]) }; COUNT];

pub(crate) fn run() {
    listen();
    let list = &raw mut LIST;
    // SAFETY: only this function, once, uses the list.
    let list = unsafe { &mut *list };
    for operation in list.iter_mut() {
        operation.cmd = MmuextOp::InvlpgLocal.number();
        operation.arg1 = SPARE.0;
    }
    let work = || assert_eq!(mmuext(list), (Ok(0), COUNT as u32));
    gives_way("mmuext_op", || {}, work);
}
