//! Yield, block, poll, shut down.

#![forbid(unsafe_code)]

use super::{Answer, read};
use crate::arch::guest::running::Guest;
use crate::arch::scheduler;
use crate::domain::NEVER;
use crate::event::wait::{self, MAX_POLLED, Wait};
use core::sync::atomic::Ordering;
use guest_abi::errno::Errno;
use guest_abi::ids::Port;
use guest_abi::sched_op::{Poll, RemoteShutdown, SchedOp, Shutdown, ShutdownReason};

pub(super) fn sched_op(guest: &Guest<'_>, operation: u64, argument: u64) -> Answer {
    let operation = u32::try_from(operation)
        .ok()
        .and_then(|op| SchedOp::try_from(op).ok())
        .ok_or(Errno::ENOSYS)?;
    match operation {
        SchedOp::Yield => scheduler::yield_now(),
        SchedOp::Block => {
            if wait::block(&**guest.domain, guest.vcpu.id(), &guest.vcpu.run) == Wait::Sleep {
                scheduler::yield_now();
            }
        }
        SchedOp::Shutdown => {
            let wish: Shutdown = read(argument)?;
            guest.domain.shutdown(reason(wish.reason)?);
        }
        SchedOp::Poll => poll(guest, argument)?,
        SchedOp::RemoteShutdown => {
            if !guest.domain.is_privileged() {
                return Err(Errno::EPERM);
            }
            let wish: RemoteShutdown = read(argument)?;
            let target = crate::domain::Domains
                .find(wish.domain_id)
                .ok_or(Errno::ESRCH)?;
            target.shutdown(reason(wish.reason)?);
        }
        _ => return Err(Errno::ENOSYS),
    }
    Ok(0)
}

fn reason(number: u32) -> Result<ShutdownReason, Errno> {
    ShutdownReason::try_from(number).map_err(|_| Errno::EINVAL)
}

fn poll(guest: &Guest<'_>, argument: u64) -> Result<(), Errno> {
    let wish: Poll = read(argument)?;
    let count = wish.nr_ports as usize;
    if count > MAX_POLLED {
        return Err(Errno::EINVAL);
    }
    let mut ports = [Port(0); MAX_POLLED];
    for (index, port) in (0u64..).zip(ports.iter_mut().take(count)) {
        *port = read(wish.ports.0.checked_add(4 * index).ok_or(Errno::EFAULT)?)?;
    }
    let deadline = if wish.timeout == 0 {
        NEVER
    } else {
        wish.timeout
    };
    guest.vcpu.poll_deadline.store(deadline, Ordering::Release);
    let ports = ports.get(..count).unwrap_or(&[]);
    match wait::poll(&**guest.domain, guest.vcpu.id(), &guest.vcpu.run, ports)? {
        Wait::Ready => guest.vcpu.poll_deadline.store(NEVER, Ordering::Release),
        Wait::Sleep => scheduler::yield_now(),
    }
    Ok(())
}
