//! The MSRs of the segment bases: they read as they were written, act at once, and refuse what is no
//! address.

use super::super::prelude::*;
use crate::cpu::{read_msr, this};

const FS_BASE: u32 = 0xc000_0100;
const GS_BASE: u32 = 0xc000_0101;
const KERNEL_GS_BASE: u32 = 0xc000_0102;

pub(crate) fn run() {
    let frame = Frame::alloc();
    frame.write(1, 0x1234);
    assert_eq!(write(FS_BASE, frame.va().0), None);
    assert_eq!(read_msr(FS_BASE), Some(frame.va().0));
    let value: u64;
    assert_eq!(probe!("mov {value}, fs:[8]"; value = out(reg) value), None);
    assert_eq!(value, 0x1234);
    assert_eq!(read_msr(GS_BASE), Some(core::ptr::from_ref(this()) as u64));
    assert_eq!(write(KERNEL_GS_BASE, 0x7777_0000), None);
    assert_eq!(read_msr(KERNEL_GS_BASE), Some(0x7777_0000));
    assert_eq!(read_msr(GS_BASE), Some(core::ptr::from_ref(this()) as u64));
    for msr in [FS_BASE, GS_BASE, KERNEL_GS_BASE] {
        let before = read_msr(msr);
        trap::expect(write(msr, NON_CANONICAL), GP, 0);
        assert_eq!(read_msr(msr), before, "MSR {msr:#x}");
    }
}

fn write(msr: u32, value: u64) -> Option<trap::Trap> {
    probe!("wrmsr"; in("ecx") msr, in("eax") value as u32, in("edx") (value >> 32) as u32)
}
