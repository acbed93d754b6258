//! Pauses are counted, and stop a domain.

use super::super::prelude::*;
use crate::control::{DATA, Guest, simple};
use guest_abi::domctl::DomctlOp;
use guest_abi::domctl_domain::DomainInfoFlags;
use guest_abi::sched_op::SchedOp;

user_code!(counts_paused, "2: inc qword ptr [rsi]", "jmp 2b");

pub(crate) fn run() {
    let guest = Guest::with_code(counts_paused());
    let pause = || simple(DomctlOp::PauseDomain, guest.id);
    let unpause = || simple(DomctlOp::UnpauseDomain, guest.id);
    let runs = || {
        let before = guest.window.read(DATA, 0);
        smp::wait_until("the guest", || guest.window.read(DATA, 0) != before);
    };
    let stands = || {
        // Nothing is left to be seen of the last moments once it is paused.
        smp::wait_until("its stop", || {
            !guest.info().flags.contains(DomainInfoFlags::RUNNING)
        });
        let before = guest.window.read(DATA, 0);
        for _ in 0..1000 {
            let _ = hypercall!(SchedOp, SchedOp::Yield.number());
        }
        assert_eq!(guest.window.read(DATA, 0), before);
        assert!(guest.info().flags.contains(DomainInfoFlags::PAUSED));
    };
    stands();
    assert_eq!(unpause(), Ok(0));
    runs();
    assert_eq!(unpause(), Err(Errno::EINVAL));
    assert_eq!(pause(), Ok(0));
    stands();
    assert_eq!(pause(), Ok(0));
    assert_eq!(unpause(), Ok(0));
    stands();
    assert_eq!(unpause(), Ok(0));
    runs();
    let mut most = 0;
    while pause() == Ok(0) {
        most += 1;
    }
    assert_eq!((most, pause()), (255, Err(Errno::EOVERFLOW)));
    for _ in 0..most {
        assert_eq!(unpause(), Ok(0));
    }
    runs();
    guest.end();
}
