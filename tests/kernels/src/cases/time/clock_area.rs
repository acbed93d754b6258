//! A second copy of the clock, at an address of the kernel's choice.

use super::super::prelude::*;
use crate::clock;
use core::sync::atomic::Ordering::SeqCst;
use guest_abi::vcpu_op::{RegisterTimeArea, VcpuOp};

fn register(vcpu: VcpuId, address: u64) -> Result<u64, Errno> {
    let area = RegisterTimeArea {
        address: Vaddr(address),
    };
    smp::operate(VcpuOp::RegisterVcpuTimeMemoryArea, vcpu, &area)
}

pub(crate) fn run() {
    let page = Frame::alloc();
    let me = VcpuId(0);
    let first = &event::vcpu_info().time;
    // SAFETY: a page of zeroes of our own, mapped for good, that is used as nothing else.
    let second = unsafe { &*(page.va().0 as *const clock::TimeInfo) };
    assert_eq!(register(me, page.va().0), Ok(0));
    assert_ne!(second.version.load(SeqCst), 0);
    assert_eq!(second.version.load(SeqCst) & 1, 0);
    assert_eq!(second.mul.load(SeqCst), first.mul.load(SeqCst));
    assert_eq!(second.shift.load(SeqCst), first.shift.load(SeqCst));
    assert_eq!(second.flags.load(SeqCst), first.flags.load(SeqCst));
    for _ in 0..1000 {
        let (a, b, c) = (
            first.system_time_ns(),
            second.system_time_ns(),
            first.system_time_ns(),
        );
        assert!(a <= b + 2 && b <= c + 2, "{a} {b} {c}");
    }

    // Nobody looks whether anything is there; but the hypervisor's own addresses are none of the guest's.
    assert_eq!(register(me, 0x1000), Ok(0));
    let _ = hypercall!(SchedOp, guest_abi::sched_op::SchedOp::Yield.number());
    assert_eq!(register(me, 0xffff_8000_0000_0000), Err(Errno::EFAULT));
    assert_eq!(register(VcpuId(5000), page.va().0), Err(Errno::ENOENT));
    let outcome = hypercall!(
        VcpuOp,
        VcpuOp::RegisterVcpuTimeMemoryArea.number(),
        0u64,
        0x1000u64
    );
    assert_eq!(outcome, Err(Errno::EFAULT));
    assert_eq!(register(me, 0), Ok(0), "unregistered");
}
