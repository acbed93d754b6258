//! Breakpoints on memory that a hypercall reads or writes: the hypervisor does its work, and nobody is stopped.

use super::super::prelude::*;
use guest_abi::version::VersionOp;

pub(crate) fn run() {
    let frame = Frame::alloc();
    let set = |register: u64, value: u64| {
        assert_eq!(hypercall!(SetDebugreg, register, value), Ok(0));
    };
    // Two registers on the answer, reads and writes (3) of eight bytes (2).
    set(0, frame.va().0);
    set(1, frame.va().0 + 8);
    set(7, 0b1011_1011 << 16 | 1 << 2 | 1);
    let answer = hypercall!(Version, VersionOp::ExtraVersion.number(), frame.va());
    assert_eq!(answer, Ok(0));
    // A list that is read, and its results that are written.
    set(7, 0);
    for word in 0..8 {
        frame.write(word, 0);
    }
    frame.write(0, guest_abi::hypercall::Hypercall::Version as u64);
    set(7, 0b1011_1011 << 16 | 1 << 2 | 1);
    assert_eq!(hypercall!(Multicall, frame.va(), 1u64), Ok(0));
    set(7, 0);
    assert_ne!(frame.read(1), 0, "the version");
    set(6, 0);
}
