//! Event channels.

#![forbid(unsafe_code)]

use super::{Answer, read, write};
use crate::arch::guest::running::Guest;
use crate::domain::{Domain, Domains};
use crate::event::{self, Progress};
use alloc::sync::Arc;
use guest_abi::errno::Errno;
use guest_abi::event_channel::{
    AllocUnbound, BindInterdomain, BindIpi, BindPirq, BindVcpu, BindVirq, Close, EventChannelOp,
    Reset, Send, Status, Unmask, Virq,
};
use guest_abi::ids::{DomId, Port};

/// The domain that `id` names, if the caller may act on it.
fn subject(guest: &Guest<'_>, id: DomId) -> Result<Arc<Domain>, Errno> {
    if id == DomId::SELF || id == guest.domain.id() {
        return Ok(guest.domain.clone());
    }
    if !guest.domain.is_privileged() {
        return Err(Errno::EPERM);
    }
    Domains.find(id).ok_or(Errno::ESRCH)
}

/// A number of another domain that may be the caller's own in disguise.
fn resolve(guest: &Guest<'_>, id: DomId) -> DomId {
    if id == DomId::SELF {
        guest.domain.id()
    } else {
        id
    }
}

pub(super) fn event_channel_op(guest: &Guest<'_>, operation: u64, argument: u64) -> Answer {
    if operation == EventChannelOp::Send as u64 {
        // The one that is for every day.
        let wish: Send = read(argument)?;
        event::send(&Domains, guest.domain, wish.port)?;
        return Ok(0);
    }
    less_frequent(guest, operation, argument)
}

#[inline(never)]
fn less_frequent(guest: &Guest<'_>, operation: u64, argument: u64) -> Answer {
    let operation = u32::try_from(operation)
        .ok()
        .and_then(|op| EventChannelOp::try_from(op).ok())
        .ok_or(Errno::ENOSYS)?;
    let domain = &**guest.domain;
    match operation {
        EventChannelOp::AllocUnbound => {
            let mut wish: AllocUnbound = read(argument)?;
            let owner = subject(guest, wish.dom)?;
            wish.port = event::alloc_unbound(&*owner, resolve(guest, wish.remote_dom))?;
            write(argument, &wish)?;
        }
        EventChannelOp::BindInterdomain => {
            let mut wish: BindInterdomain = read(argument)?;
            let remote = resolve(guest, wish.remote_dom);
            wish.local_port = event::bind_interdomain(&Domains, domain, remote, wish.remote_port)?;
            write(argument, &wish)?;
        }
        EventChannelOp::BindVirq => {
            let mut wish: BindVirq = read(argument)?;
            let is_global = Virq::try_from(wish.virq).is_ok_and(|virq| !virq.is_per_vcpu());
            if is_global && !domain.is_privileged() && wish.virq != Virq::Argo as u32 {
                return Err(Errno::EPERM);
            }
            wish.port = event::bind_virq(domain, wish.virq, wish.vcpu)?;
            write(argument, &wish)?;
        }
        EventChannelOp::BindIpi => {
            let mut wish: BindIpi = read(argument)?;
            wish.port = event::bind_ipi(domain, wish.vcpu)?;
            write(argument, &wish)?;
        }
        EventChannelOp::BindPirq => {
            let mut wish: BindPirq = read(argument)?;
            wish.port = event::bind_pirq(domain, wish.pirq, wish.flags)?;
            write(argument, &wish)?;
        }
        EventChannelOp::Close => {
            let wish: Close = read(argument)?;
            event::close(&Domains, domain, wish.port)?;
        }
        EventChannelOp::Status => {
            let mut wish: Status = read(argument)?;
            let owner = subject(guest, wish.dom)?;
            let mut status = event::status(&*owner, wish.port)?;
            (status.dom, status.port) = (wish.dom, wish.port);
            wish = status;
            write(argument, &wish)?;
        }
        EventChannelOp::BindVcpu => {
            let wish: BindVcpu = read(argument)?;
            event::bind_vcpu(domain, wish.port, wish.vcpu)?;
        }
        EventChannelOp::Unmask => {
            let wish: Unmask = read(argument)?;
            event::unmask(domain, wish.port)?;
        }
        EventChannelOp::Reset => {
            let wish: Reset = read(argument)?;
            let owner = subject(guest, wish.dom)?;
            // The number of ports is bounded by what was ever used, and each is a few instructions.
            let _: Progress = event::close_all(&Domains, &*owner, Port(1), || false);
        }
        _ => return Err(Errno::ENOSYS),
    }
    Ok(0)
}
