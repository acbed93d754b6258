//! A poll returns at once when there is something, at its time when there is not, and refuses nonsense.

use super::super::prelude::*;
use super::poll_ports;
use crate::clock::{self, MS};
use guest_abi::sched_op::{Poll, SchedOp};

pub(crate) fn run() {
    clock::stop_periodic_timer();
    event::mask_upcalls();
    let [a, b] = [event::bind_ipi(VcpuId(0)), event::bind_ipi(VcpuId(0))];
    for port in [a, b] {
        event::mask(port);
    }
    // Not before its time, whatever the list.
    for ports in [&[][..], &[a], &[a, b]] {
        let end = clock::now_ns() + 5 * MS;
        assert_eq!(poll_ports(ports, end), Ok(0));
        assert!(clock::now_ns() >= end, "{} ports", ports.len());
    }
    // The time has passed.
    for past in [1, clock::now_ns()] {
        assert_eq!(poll_ports(&[a, b], past), Ok(0));
    }
    // A port that is pending, though masked: no time is needed.
    assert_eq!(event::send(b), Ok(0));
    assert_eq!(poll_ports(&[a, b], 0), Ok(0));
    assert_eq!(poll_ports(&[b], 0), Ok(0));
    event::clear_pending(b);

    let end = clock::now_ns() + MS;
    assert_eq!(poll_ports(&[a, Port(100_000)], end), Err(Errno::EINVAL));
    let many = [a; 129];
    assert_eq!(poll_ports(&many, end), Err(Errno::EINVAL));
    assert_eq!(poll_ports(&many[..128], end), Ok(0));
    let unreadable = Poll {
        ports: Vaddr(0x1000),
        nr_ports: 1,
        pad0: [0; 4],
        timeout: end,
    };
    let outcome = hypercall!(SchedOp, SchedOp::Poll.number(), &unreadable);
    assert_eq!(outcome, Err(Errno::EFAULT));
    let outcome = hypercall!(SchedOp, SchedOp::Poll.number(), 0x1000u64);
    assert_eq!(outcome, Err(Errno::EFAULT));
}
