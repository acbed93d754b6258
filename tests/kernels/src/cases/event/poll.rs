//! A vCPU polls ports: it sleeps until one is pending, masked or not, or until the time it gave.

use super::super::prelude::*;
use crate::clock::{MS, now_ns};
use guest_abi::sched_op::{Poll, SchedOp};

fn poll(ports: &[Port], timeout: u64) -> Result<u64, Errno> {
    let mut poll = Poll::new_zeroed();
    poll.ports = Vaddr(ports.as_ptr() as u64);
    poll.nr_ports = ports.len() as u32;
    poll.timeout = timeout;
    hypercall!(SchedOp, SchedOp::Poll.number(), &poll)
}

pub(crate) fn run() {
    smp::need(2);
    let port = event::bind_ipi(VcpuId(0));
    let other = event::bind_ipi(VcpuId(0));
    event::mask(port);
    event::mask(other);
    let start = now_ns();
    assert_eq!(poll(&[port, other], start + 20 * MS), Ok(0));
    assert!(now_ns() >= start + 20 * MS, "too early");
    // Pending already.
    assert_eq!(event::send(other), Ok(0));
    assert_eq!(poll(&[port, other], 0), Ok(0));
    event::clear_pending(other);
    // Another vCPU sends.
    static PORT: core::sync::atomic::AtomicU32 = core::sync::atomic::AtomicU32::new(0);
    PORT.store(port.0, core::sync::atomic::Ordering::SeqCst);
    smp::start(VcpuId(1), |_| {
        let until = now_ns() + 20 * MS;
        while now_ns() < until {
            let _ = hypercall!(SchedOp, 0u64);
        }
        let port = Port(PORT.load(core::sync::atomic::Ordering::SeqCst));
        assert_eq!(event::send(port), Ok(0));
    });
    assert_eq!(poll(&[port], 0), Ok(0));
    assert!(event::is_pending(port));
    assert_eq!(event::count(port), 0, "masked all the time");
    assert_eq!(poll(&[Port(4096)], 0), Err(Errno::EINVAL));
    let many = [port; 129];
    assert_eq!(poll(&many, 0), Err(Errno::EINVAL));
}
