//! A long multicall is interrupted by events between its calls, and each call is made once.

use super::super::prelude::*;
use crate::clock::{self, MS};
use guest_abi::hypercall::Hypercall;
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
    let timer = clock::bind_timer();
    event::unmask_upcalls();
    let list = &raw mut LIST;
    // SAFETY: only this function, once, uses the list.
    let list = unsafe { &mut *list };
    let words: [Frame; 12] = Frame::alloc_many();
    for (number, entry) in list.iter_mut().enumerate() {
        entry.op = Hypercall::UpdateVaMapping.number();
        let target = words[number % words.len()];
        // Every page becomes read-only and writable in turn, so that a call left out or made in another order
        // shows at the end.
        let flags = if (number / words.len()).is_multiple_of(2) {
            memory::KERNEL_RO
        } else {
            memory::KERNEL_RW
        };
        entry.args = [
            target.va().0,
            memory::entry(target.mfn(), flags),
            2,
            0,
            0,
            0,
        ];
        entry.result = 0x1111;
    }
    clock::set_timer(clock::now_ns() + MS);
    assert_eq!(hypercall!(Multicall, &mut list[..], COUNT), Ok(0));
    for (number, entry) in list.iter().enumerate() {
        assert_eq!(entry.result, 0, "call {number}");
    }
    for word in words {
        assert_eq!(
            probe!("mov byte ptr [{at}], 1"; at = in(reg) word.va().0),
            None
        );
    }
    smp::wait_until("the timer", || event::count(timer) > 0);
}
