//! The debug registers hold what was written, with the bits that are always the same.

use super::super::prelude::*;

pub(crate) fn run() {
    let set = |register: u64, value: u64| hypercall!(SetDebugreg, register, value);
    let get = |register: u64| hypercall!(GetDebugreg, register);
    for register in 0..4u64 {
        assert_eq!(set(register, 0x40_0000 + register), Ok(0));
        assert_eq!(get(register), Ok(0x40_0000 + register));
    }
    assert_eq!(
        set(0, 0xffff_ffff_8020_0000),
        Ok(0),
        "an address of the kernel"
    );
    // DR6 and DR7 have bits that read as one, and by their other numbers they are the same.
    assert_eq!(set(6, 0), Ok(0));
    assert_eq!(get(6), Ok(0xffff_0ff0));
    assert_eq!(set(6, 0xffff_ffff), Ok(0));
    assert_eq!(get(6).map(|dr6| dr6 & 0xffff_1fff), Ok(0xffff_0fff));
    assert_eq!(set(7, 0), Ok(0));
    assert_eq!(get(7), Ok(0x400));
    assert_eq!(set(7, 0x0000_0001), Ok(0));
    assert_eq!(get(7), Ok(0x401));
    assert_eq!(set(5, 0x2), Ok(0), "by its old number");
    assert_eq!(get(7), Ok(0x402));
    assert_eq!(get(5), Ok(0x402));
    assert_eq!(set(7, 0), Ok(0));
    assert_eq!(set(6, 0), Ok(0));
}
