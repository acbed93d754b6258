//! A domain that ends, by itself, by a crash or because others want it, says so and keeps its reason.

use super::super::prelude::*;
use crate::control::Guest;
use guest_abi::domctl_domain::DomainInfoFlags;
use guest_abi::event_channel::Virq;
use guest_abi::sched_op::{RemoteShutdown, SchedOp, ShutdownReason};

user_code!(crashes, "ud2");
user_code!(spins, "2: pause", "jmp 2b");
user_code!(
    reboots,
    "mov qword ptr [rsi], 1",
    "mov eax, 29",
    "mov edi, 2",
    "syscall",
    "ud2",
);

pub(crate) fn run() {
    let port = event::bind_virq(Virq::DomainException, VcpuId(0));
    event::unmask_upcalls();
    assert_eq!(event::unmask(port), Ok(0));
    let mut heard = 0;
    let mut hears = || {
        smp::wait_until("the end of a domain", || event::count(port) > heard);
        heard = event::count(port);
    };
    for (code, reason) in [
        (crashes as fn() -> *const u8, ShutdownReason::Crash),
        (reboots, ShutdownReason::Reboot),
    ] {
        let guest = Guest::with_code(code());
        guest.start();
        assert_eq!(guest.wait_for_end(), reason as u8);
        hears();
        assert!(!guest.info().flags.contains(DomainInfoFlags::DYING));
        guest.end();
        hears();
    }
    let guest = Guest::with_code(spins());
    guest.start();
    let remote = |reason| {
        let wish = RemoteShutdown {
            domain_id: guest.id,
            pad0: [0; 2],
            reason,
        };
        hypercall!(SchedOp, SchedOp::RemoteShutdown.number(), &wish)
    };
    assert_eq!(remote(ShutdownReason::Watchdog as u32), Ok(0));
    assert_eq!(guest.wait_for_end(), ShutdownReason::Watchdog as u8);
    hears();
    // The first reason counts.
    assert_eq!(remote(ShutdownReason::Reboot as u32), Ok(0));
    assert_eq!(guest.wait_for_end(), ShutdownReason::Watchdog as u8);
    guest.end();
    hears();
}
