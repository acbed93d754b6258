//! A destroyed domain of which somebody maps a frame stays on the list, dying, without anything that could be used.

use super::super::prelude::*;
use crate::control::{self, DATA, FRAMES, Guest, exists, populate, simple};
use crate::memory::{KERNEL_RO, entry};
use guest_abi::domctl::DomctlOp;
use guest_abi::domctl_domain::DomainInfoFlags;
use guest_abi::sched_op::SchedOp;

user_code!(counts, "2: inc qword ptr [rsi]", "jmp 2b");

/// Lets the guest run, if it may.
fn give_way() {
    for _ in 0..1000 {
        let _ = hypercall!(SchedOp, SchedOp::Yield.number());
    }
}

pub(crate) fn run() {
    let guest = Guest::with_code(counts());
    guest.start();
    smp::wait_until("the guest", || guest.window.read(DATA, 0) != 0);
    guest.destroy();
    let info = guest.info();
    assert!(info.flags.contains(DomainInfoFlags::DYING));
    assert_eq!(info.tot_pages, FRAMES as u64, "all frames are mapped here");
    // It does not run any more, and a second time nothing happens.
    let count = guest.window.read(DATA, 0);
    guest.destroy();
    give_way();
    assert_eq!(guest.window.read(DATA, 0), count);
    // It gets nothing more.
    assert_eq!(populate(guest.id, &mut [100]), Ok(0));
    assert!(event::alloc_unbound(guest.id, DomId(0)).is_err());
    // Most of it goes.
    guest.window.clear(FRAMES - 1);
    assert_eq!(guest.info().tot_pages, 1);
    // A frame that is gone can't be mapped, the other one can once more.
    let gone = guest
        .window
        .map(guest.id, 0, &[entry(Mfn(guest.frames[0]), KERNEL_RO)]);
    assert!(gone.0.is_err());
    guest.window.clear(FRAMES);
    assert!(!exists(guest.id));
    assert_eq!(simple(DomctlOp::DestroyDomain, guest.id), Err(Errno::ESRCH));
    assert!(control::free_frames() != 0);
}
