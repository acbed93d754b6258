//! User mode has a GS base of its own, set by the kernel, and both survive the way there and back; the FS
//! base is common.

use super::super::prelude::*;
use crate::cpu;
use guest_abi::segment::SegmentBase;

user_code!(
    user_bases,
    "mov rax, gs:[0]",
    "mov rbx, fs:[8]",
    "mov qword ptr gs:[16], 3",
    "syscall",
);

pub(crate) fn run() {
    let space = user::load_new();
    space.data.write(0, 0x1111);
    space.data.write(1 + 32, 0x2222);
    let set = |which: SegmentBase, value: u64| hypercall!(SetSegmentBase, which.number(), value);
    assert_eq!(set(SegmentBase::GsUser, user::DATA.0), Ok(0));
    assert_eq!(set(SegmentBase::Fs, user::DATA.0 + 256), Ok(0));
    for _ in 0..2 {
        let frame = user::enter(&user::registers(user_bases())).frame;
        assert_eq!(
            (frame.vector, frame.rax, frame.rbx),
            (trap::SYSCALL, 0x1111, 0x2222)
        );
        assert_eq!(space.data.read(2), 3);
        assert_eq!(cpu::id(), VcpuId(0), "the kernel's GS base");
    }
    // The kernel sees the other one, while it is inactive, in the MSR that the processor swaps with.
    assert_eq!(cpu::read_msr(0xc000_0102), Some(user::DATA.0));
}
