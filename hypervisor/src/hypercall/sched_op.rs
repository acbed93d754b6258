//! Yield, block, poll, shut down, watchdogs.

#![forbid(unsafe_code)]

use super::{Answer, admit, read};
use crate::arch::guest::running::Guest;
use crate::arch::scheduler;
use crate::arch::timers::{self, WatchdogError};
use crate::control::privilege;
use crate::domain::Domains;
use crate::event::EventDomain;
use crate::event::wait::{self, MAX_POLLED, Wait};
use crate::sched::run_state::Change;
use crate::sched::{CpuId, CpuSet};
use crate::time::scale::NS_PER_SECOND;
use crate::time::vcpu_timers::{self, Action};
use guest_abi::errno::Errno;
use guest_abi::ids::Port;
use guest_abi::sched_op::{PinOverride, Poll, RemoteShutdown, SchedOp, Shutdown, Watchdog};

pub(super) fn sched_op(guest: &Guest<'_>, operation: u64, argument: u64) -> Answer {
    let operation = u32::try_from(operation)
        .ok()
        .and_then(|op| SchedOp::try_from(op).ok())
        .ok_or(Errno::ENOSYS)?;
    match operation {
        SchedOp::Yield => scheduler::yield_now(),
        SchedOp::Block => {
            if wait::block(&**guest.domain, guest.vcpu.id(), &guest.vcpu.run) == Wait::Sleep {
                let _ = falls_asleep(guest);
            }
        }
        // Of a reason only the lowest byte counts, and one that has no name is one, too.
        SchedOp::Shutdown => {
            let wish: Shutdown = read(argument)?;
            guest.domain.shutdown(wish.reason as u8);
        }
        SchedOp::ShutdownCode => {
            let wish: Shutdown = read(argument)?;
            guest.domain.keep_shutdown_reason(wish.reason as u8);
        }
        SchedOp::Poll => poll(guest, argument)?,
        SchedOp::RemoteShutdown => {
            let wish: RemoteShutdown = read(argument)?;
            let target = Domains.find(wish.domain_id).ok_or(Errno::ESRCH)?;
            admit(guest, privilege::sched(operation))?;
            target.shutdown(wish.reason as u8);
        }
        SchedOp::Watchdog => return watchdog(guest, &read(argument)?),
        SchedOp::PinOverride => {
            admit(guest, privilege::sched(operation))?;
            pin_override(guest, argument)?;
        }
    }
    Ok(0)
}

fn poll(guest: &Guest<'_>, argument: u64) -> Result<(), Errno> {
    let wish: Poll = read(argument)?;
    let count = wish.nr_ports as usize;
    if count > MAX_POLLED {
        return Err(Errno::EINVAL);
    }
    // Mostly there is one, and no room for many has to be cleared.
    if count <= 1 {
        let mut port = [Port(0)];
        return poll_ports(guest, &wish, port.get_mut(..count).unwrap_or(&mut []));
    }
    let mut ports = [Port(0); MAX_POLLED];
    poll_ports(guest, &wish, ports.get_mut(..count).unwrap_or(&mut []))
}

/// Reads the ports into `ports`, which has as many places, and waits for them.
fn poll_ports(guest: &Guest<'_>, wish: &Poll, ports: &mut [Port]) -> Result<(), Errno> {
    for (index, port) in (0u64..).zip(ports.iter_mut()) {
        *port = read(wish.ports.0.checked_add(4 * index).ok_or(Errno::EFAULT)?)?;
    }
    let end_ns = match vcpu_timers::poll_timeout(wish.timeout, scheduler::now_ns()) {
        Action::Disarm => None,
        Action::Arm(end_ns) => Some(end_ns),
        // It has passed: looking is all there is to do, and the guest looks itself.
        Action::RaiseNow => {
            let is_known = |port: &Port| guest.domain.ports().snapshot(*port).is_some();
            return ports
                .iter()
                .all(is_known)
                .then_some(())
                .ok_or(Errno::EINVAL);
        }
    };
    // Before the vCPU waits. That its time is over is only noticed on the way back to it, after.
    timers::change(guest.vcpu, |timers| timers.set_poll(end_ns));
    match wait::poll(&**guest.domain, guest.vcpu.id(), &guest.vcpu.run, ports) {
        Ok(Wait::Sleep) if falls_asleep(guest) => Ok(()),
        other => {
            timers::change(guest.vcpu, |timers| timers.set_poll(None));
            Ok(other.map(|_| ())?)
        }
    }
}

/// The calling vCPU, which is blocked, sleeps, unless it has an NMI to handle: who sent that before has found it awake. Says whether it
/// does.
fn falls_asleep(guest: &Guest<'_>) -> bool {
    let has_nmi = guest.vcpu.has_nmi() && !guest.context.is_nmi_masked;
    if has_nmi {
        // It runs: the scheduler has nothing to hear.
        let _: Change = wait::end(&**guest.domain, guest.vcpu.id(), &guest.vcpu.run);
    } else {
        scheduler::sleep_now();
    }
    !has_nmi
}

fn watchdog(guest: &Guest<'_>, wish: &Watchdog) -> Answer {
    let deadline_ns = scheduler::now_ns().saturating_add(u64::from(wish.timeout) * NS_PER_SECOND);
    let watchdogs = guest.domain.watchdogs();
    let outcome = match (wish.id, wish.timeout) {
        (0, _) => watchdogs.create(guest.domain, deadline_ns).map(u64::from),
        (id, 0) => watchdogs.set(guest.domain, id, None).map(|()| 0),
        (id, _) => watchdogs
            .set(guest.domain, id, Some(deadline_ns))
            .map(|()| 0),
    };
    outcome.map_err(|error| match error {
        WatchdogError::NotThere => Errno::EINVAL,
        WatchdogError::AllInUse => Errno::ENOSPC,
        WatchdogError::OutOfMemory => Errno::ENOMEM,
    })
}

/// Runs the calling vCPU on one processor for a while, or ends that.
fn pin_override(guest: &Guest<'_>, argument: u64) -> Result<(), Errno> {
    let wish: PinOverride = read(argument)?;
    let vcpu = guest.vcpu;
    let mut overridden = vcpu.overridden_affinity.lock();
    match (u32::try_from(wish.pcpu), *overridden) {
        (Ok(_), Some(_)) => return Err(Errno::EBUSY),
        (Ok(cpu), None) => {
            let before = scheduler::affinity(vcpu);
            scheduler::set_affinity(vcpu, CpuSet::only(CpuId(cpu))).map_err(|_| Errno::EINVAL)?;
            *overridden = Some(before);
        }
        (Err(_), Some(before)) => {
            scheduler::set_affinity(vcpu, before).map_err(|_| Errno::EINVAL)?;
            *overridden = None;
        }
        (Err(_), None) => return Err(Errno::EINVAL),
    }
    Ok(())
}
