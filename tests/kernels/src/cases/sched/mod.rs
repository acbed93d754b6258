//! Who runs when: yielding, blocking, polling, vCPUs that come and go, and how a domain ends.

pub(crate) mod block_and_wake;
pub(crate) mod crash;
pub(crate) mod fairness;
pub(crate) mod handshake;
pub(crate) mod initialise_in_user_mode;
pub(crate) mod initialise_race;
pub(crate) mod initialise_refusals;
pub(crate) mod initialise_with_new_roots;
pub(crate) mod kept_reason;
pub(crate) mod last_down;
pub(crate) mod mask_race;
pub(crate) mod moving;
pub(crate) mod nmi_wakes;
pub(crate) mod parameters;
pub(crate) mod pin_override;
pub(crate) mod poll;
pub(crate) mod poll_wake;
pub(crate) mod preemption;
pub(crate) mod reboot;
pub(crate) mod refusals;
pub(crate) mod soft_reset;
pub(crate) mod suspend;
pub(crate) mod ticking;
pub(crate) mod up_and_down;
pub(crate) mod watchdog;
pub(crate) mod watchdog_barks;
pub(crate) mod yielding;

use crate::hypercall::{Outcome, hypercall};
use guest_abi::ids::{Port, Vaddr};
use guest_abi::sched_op::{Poll, SchedOp, Shutdown, ShutdownReason, Watchdog};

fn block() {
    assert_eq!(hypercall!(SchedOp, SchedOp::Block.number()), Ok(0));
}

fn poll_ports(ports: &[Port], timeout: u64) -> Outcome {
    let poll = Poll {
        ports: Vaddr(ports.as_ptr() as u64),
        nr_ports: ports.len() as u32,
        pad0: [0; 4],
        timeout,
    };
    hypercall!(SchedOp, SchedOp::Poll.number(), &poll)
}

fn set_watchdog(id: u32, timeout: u32) -> Outcome {
    let watchdog = Watchdog { id, timeout };
    hypercall!(SchedOp, SchedOp::Watchdog.number(), &watchdog)
}

/// Ends the domain.
fn shut_down(reason: ShutdownReason) -> ! {
    keep_or_end(SchedOp::Shutdown, reason);
    panic!("the domain goes on");
}

/// Says the reason for which the domain ends or will end.
fn keep_or_end(op: SchedOp, reason: ShutdownReason) {
    let shutdown = Shutdown {
        reason: reason.number(),
    };
    assert_eq!(hypercall!(SchedOp, op.number(), &shutdown), Ok(0));
}
