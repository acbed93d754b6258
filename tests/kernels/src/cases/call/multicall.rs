//! A multicall makes its calls in order and stores the result of each, those that fail included.

use super::super::prelude::*;
use guest_abi::hypercall::Hypercall;
use guest_abi::multicall::MulticallEntry;

pub(crate) fn run() {
    let frame = Frame::alloc();
    let entry = |op: u64, args: [u64; 6]| MulticallEntry {
        op,
        result: 0x5555,
        args,
    };
    let version = Hypercall::Version.number();
    let update = Hypercall::UpdateVaMapping.number();
    let readonly = memory::entry(frame.mfn(), memory::KERNEL_RO);
    let writable = memory::entry(frame.mfn(), memory::KERNEL_RW);
    let mut list = [
        entry(version, [0; 6]),
        entry(update, [frame.va().0, readonly, 2, 0, 0, 0]),
        entry(0x1234, [0; 6]),
        entry(update, [NON_CANONICAL, readonly, 2, 0, 0, 0]),
        entry(update, [frame.va().0, writable, 2, 0, 0, 0]),
        entry(version, [6, 0x1_0000_0000, 0, 0, 0, 0]),
        entry(version, [7, 0, 0, 0, 0, 0]),
    ];
    let before = list;
    assert_eq!(hypercall!(Multicall, &mut list[..], list.len()), Ok(0));
    let results = list.map(|entry| entry.result as i64);
    assert_eq!(results, [4 << 16 | 17, 0, -38, -22, 0, -14, 4096]);
    for (before, after) in before.iter().zip(&list) {
        assert_eq!(
            (before.op, before.args),
            (after.op, after.args),
            "the list is changed"
        );
    }
    frame.write(0, 1);
    assert_eq!(
        hypercall!(Multicall, &mut list[..], 0u64),
        Ok(0),
        "an empty list"
    );
}
