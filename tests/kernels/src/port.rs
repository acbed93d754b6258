//! I/O ports, at the level of privilege that a kernel has.

use crate::cpu;
use crate::trap::probe;

/// Lets the kernel use ports.
pub(crate) fn init() {
    assert_eq!(cpu::set_iopl(1), Ok(0));
}

pub(crate) fn read_u8(port: u16) -> u8 {
    let value: u8;
    assert_eq!(probe!("in al, dx"; out("al") value, in("dx") port), None);
    value
}

pub(crate) fn write_u8(port: u16, value: u8) {
    assert_eq!(probe!("out dx, al"; in("al") value, in("dx") port), None);
}

pub(crate) fn read_u16(port: u16) -> u16 {
    let value: u16;
    assert_eq!(probe!("in ax, dx"; out("ax") value, in("dx") port), None);
    value
}

pub(crate) fn write_u16(port: u16, value: u16) {
    assert_eq!(probe!("out dx, ax"; in("ax") value, in("dx") port), None);
}

pub(crate) fn read_u32(port: u16) -> u32 {
    let value: u32;
    assert_eq!(probe!("in eax, dx"; out("eax") value, in("dx") port), None);
    value
}

pub(crate) fn write_u32(port: u16, value: u32) {
    assert_eq!(probe!("out dx, eax"; in("eax") value, in("dx") port), None);
}
