//! System time, as the hypervisor lets the guest compute it.

use crate::{event, smp};
use core::arch::x86_64::_rdtsc;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering, fence};
use guest_abi::event_channel::Virq;
use guest_abi::ids::Port;
use guest_abi::vcpu_op::{SetSingleshotTimer, TimerFlags, VcpuOp};

/// [`guest_abi::time::VcpuTimeInfo`] as memory that the hypervisor changes at any time.
#[repr(C)]
pub(crate) struct TimeInfo {
    pub(crate) version: AtomicU32,
    pad0: u32,
    tsc_timestamp: AtomicU64,
    system_time: AtomicU64,
    pub(crate) mul: AtomicU32,
    pub(crate) shift: AtomicU8,
    pub(crate) flags: AtomicU8,
    pad1: [u8; 2],
}

const _: () = {
    use core::mem::offset_of;
    use guest_abi::time::VcpuTimeInfo;
    assert!(size_of::<TimeInfo>() == size_of::<VcpuTimeInfo>());
    assert!(offset_of!(TimeInfo, system_time) == offset_of!(VcpuTimeInfo, system_time));
    assert!(offset_of!(TimeInfo, flags) == offset_of!(VcpuTimeInfo, flags));
};

impl TimeInfo {
    /// System time in nanoseconds, read consistently.
    pub(crate) fn system_time_ns(&self) -> u64 {
        loop {
            let version = self.version.load(Ordering::Acquire);
            let timestamp = self.tsc_timestamp.load(Ordering::Relaxed);
            let base = self.system_time.load(Ordering::Relaxed);
            let mul = self.mul.load(Ordering::Relaxed);
            let shift = self.shift.load(Ordering::Relaxed) as i8;
            let delta = tsc().wrapping_sub(timestamp);
            fence(Ordering::Acquire);
            if version & 1 == 0 && self.version.load(Ordering::Relaxed) == version {
                let shifted = if shift < 0 {
                    delta >> -shift
                } else {
                    delta << shift
                };
                let nanoseconds = (u128::from(shifted) * u128::from(mul)) >> 32;
                return base.wrapping_add(nanoseconds as u64);
            }
        }
    }
}

/// The time stamp counter, in order with what is around it.
pub(crate) fn tsc() -> u64 {
    // SAFETY: the instructions exist on every processor for 64-bit kernels.
    unsafe {
        core::arch::x86_64::_mm_lfence();
        _rdtsc()
    }
}

/// System time in nanoseconds.
pub(crate) fn now_ns() -> u64 {
    crate::event::vcpu_info().time.system_time_ns()
}

/// Binds the timer of this vCPU to a port.
pub(crate) fn bind_timer() -> Port {
    event::bind_virq(Virq::Timer, crate::cpu::id())
}

/// Stops the timer that ticks a hundred times a second from the start of a vCPU.
pub(crate) fn stop_periodic_timer() {
    let outcome = smp::operate_plain(VcpuOp::StopPeriodicTimer, crate::cpu::id());
    assert_eq!(outcome, Ok(0));
}

/// Sets the single-shot timer of this vCPU.
pub(crate) fn set_timer(timeout_abs_ns: u64) {
    let timer = SetSingleshotTimer {
        timeout_abs_ns,
        flags: TimerFlags::empty(),
        pad0: [0; 4],
    };
    let outcome = smp::operate(VcpuOp::SetSingleshotTimer, crate::cpu::id(), &timer);
    assert_eq!(outcome, Ok(0), "timer at {timeout_abs_ns} ns");
}

/// One millisecond.
pub(crate) const MS: u64 = 1_000_000;
