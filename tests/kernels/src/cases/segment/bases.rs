//! `set_segment_base` sets the bases at once: FS, the kernel's GS, and the one that user mode will have.

use super::super::prelude::*;
use crate::cpu::{self, read_msr};
use guest_abi::segment::SegmentBase;

pub(crate) fn run() {
    let frame = Frame::alloc();
    let set = |which: SegmentBase, value: u64| hypercall!(SetSegmentBase, which.number(), value);
    frame.write(2, 0x1234);
    assert_eq!(set(SegmentBase::Fs, frame.va().0), Ok(0));
    let value: u64;
    assert_eq!(probe!("mov {value}, fs:[16]"; value = out(reg) value), None);
    assert_eq!(value, 0x1234);
    let own = core::ptr::from_ref(cpu::this()) as u64;
    assert_eq!(set(SegmentBase::GsKernel, own), Ok(0));
    assert_eq!(cpu::id(), VcpuId(0));
    assert_eq!(set(SegmentBase::GsUser, 0x1_2345_6000), Ok(0));
    assert_eq!(read_msr(0xc000_0102), Some(0x1_2345_6000));
    assert_eq!(cpu::id(), VcpuId(0), "the kernel's is another");
    for which in [SegmentBase::Fs, SegmentBase::GsUser, SegmentBase::GsKernel] {
        assert_eq!(set(which, NON_CANONICAL), Err(Errno::EINVAL), "{which:?}");
    }
    assert_eq!(read_msr(0xc000_0100), Some(frame.va().0), "FS is as it was");
}
