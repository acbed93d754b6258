//! A vCPU's information moves once, for itself or for one that is down, to a place that is whole in a frame of the domain's;
//! and all its events are looked at anew.

use super::super::prelude::*;
use core::sync::atomic::{AtomicBool, Ordering};
use guest_abi::ids::PAGE_SIZE;
use guest_abi::vcpu_op::{RegisterVcpuInfo, VcpuOp};

static IS_OVER: AtomicBool = AtomicBool::new(false);

fn wait(_: VcpuId) {
    smp::wait_until("the end", || IS_OVER.load(Ordering::SeqCst));
}

pub(crate) fn run() {
    let myself = VcpuId(0);
    let [frame, other, table] = Frame::alloc_many();
    // Not on a multiple of 8; not all of it in the frame.
    for offset in [4, PAGE_SIZE as u32 - 56, PAGE_SIZE as u32, u32::MAX - 7] {
        let outcome = event::register_info(myself, frame, offset);
        assert_eq!(outcome, Err(Errno::ENXIO), "offset {offset:#x}");
    }
    // Not the domain's, or not for writing.
    memory::make_readonly(table);
    assert_eq!(memory::pin(1, table.mfn()), Ok(0));
    for mfn in [Mfn(0xb8), Mfn(0x7f_ffff_ffff), table.mfn()] {
        let wish = RegisterVcpuInfo {
            mfn,
            offset: 0,
            rsvd: 0,
        };
        let outcome = smp::operate(VcpuOp::RegisterVcpuInfo, myself, &wish);
        assert_eq!(outcome, Err(Errno::EINVAL), "{mfn}");
    }
    let nobody = event::register_info(VcpuId(smp::nr_vcpus()), frame, 0);
    assert_eq!(nobody, Err(Errno::ENOENT));

    let offset = PAGE_SIZE as u32 - 64;
    assert_eq!(event::register_info(myself, frame, offset), Ok(0));
    let first_word = offset as usize / 8;
    assert_eq!(frame.read(first_word) & 0xffff, 0x101, "pending, masked");
    assert_eq!(frame.read(first_word + 1), u64::MAX, "the selector");
    for again in [frame, other] {
        let outcome = event::register_info(myself, again, 0);
        assert_eq!(outcome, Err(Errno::EINVAL), "once");
    }

    if smp::nr_vcpus() > 1 {
        let second = VcpuId(1);
        smp::start(second, wait);
        let outcome = event::register_info(second, other, 0);
        assert_eq!(outcome, Err(Errno::EINVAL), "it is up");
        IS_OVER.store(true, Ordering::SeqCst);
        smp::wait_until("the second is down", || {
            smp::operate_plain(VcpuOp::IsUp, second) == Ok(0)
        });
        assert_eq!(event::register_info(second, other, 0), Ok(0));
    }
}
