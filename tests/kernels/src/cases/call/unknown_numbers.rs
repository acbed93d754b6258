//! Hypercalls that do not exist, or that nobody offers to a 64-bit guest, answer ENOSYS, whatever the upper
//! half of the number's register holds.

use crate::control::is_reference;
use crate::hypercall::{outcome, raw};
use guest_abi::errno::Errno;
use guest_abi::hypercall::Hypercall;

/// What has a number and is not offered here. The reference, which is not asked, offers some of it.
const NOT_OFFERED: [Hypercall; 13] = [
    Hypercall::SetCallbacks,
    Hypercall::SchedOpCompat,
    Hypercall::EventChannelOpCompat,
    Hypercall::PhysdevOpCompat,
    Hypercall::XsmOp,
    Hypercall::NmiOp,
    Hypercall::ProfilerOp,
    Hypercall::HvmOp,
    Hypercall::KexecOp,
    Hypercall::ArgoOp,
    Hypercall::PmuOp,
    Hypercall::DmOp,
    Hypercall::HypfsOp,
];

pub(crate) fn run() {
    if !is_reference() {
        for call in NOT_OFFERED {
            assert_eq!(
                outcome(raw(call.number(), [0; 5])),
                Err(Errno::ENOSYS),
                "{call:?}"
            );
        }
    }
    for number in [
        11, 38, 43, 44, 45, 46, 47, 50, 55, 56, 63, 64, 127, 128, 1000,
    ] {
        assert_eq!(
            outcome(raw(number, [0; 5])),
            Err(Errno::ENOSYS),
            "number {number}"
        );
    }
    for number in [
        1 << 31,
        1 << 32,
        1 << 32 | 17,
        u64::MAX,
        u64::MAX << 32 | 17,
        1 << 63,
    ] {
        assert_eq!(
            outcome(raw(number, [0; 5])),
            Err(Errno::ENOSYS),
            "number {number:#x}"
        );
    }
}
