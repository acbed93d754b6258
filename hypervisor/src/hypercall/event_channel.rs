//! Event channels.

#![forbid(unsafe_code)]

use super::{Answer, Outcome, admit, read, subject, write};
use crate::arch::guest::running::Guest;
use crate::arch::scheduler;
use crate::control::privilege;
use crate::domain::{Domain, Domains};
use crate::event::{self, Progress};
use guest_abi::errno::Errno;
use guest_abi::event_channel::{
    AllocUnbound, BindInterdomain, BindIpi, BindPirq, BindVcpu, BindVirq, Close, EventChannelOp,
    Reset, Send, Status, Unmask, Virq,
};
use guest_abi::ids::{DomId, Port};
use zerocopy::{Immutable, IntoBytes};

/// A number of another domain that may be the caller's own in disguise.
fn resolve(guest: &Guest<'_>, id: DomId) -> DomId {
    if id == DomId::SELF {
        guest.domain.id()
    } else {
        id
    }
}

pub(super) fn event_channel_op(guest: &Guest<'_>, operation: u64, argument: u64) -> Outcome {
    if operation == EventChannelOp::Send as u64 {
        // The one that is for every day.
        return send(guest, argument).into();
    }
    if operation & u64::from(u32::MAX) == EventChannelOp::Reset as u64 {
        return reset(guest, Port((operation >> 32) as u32), argument);
    }
    less_frequent(guest, operation, argument).into()
}

fn send(guest: &Guest<'_>, argument: u64) -> Answer {
    let wish: Send = read(argument)?;
    event::send(&Domains, guest.domain, wish.port)?;
    Ok(0)
}

/// Closes all ports of a domain, from `first` on: a call that is made again has it in the operation's upper half.
fn reset(guest: &Guest<'_>, first: Port, argument: u64) -> Outcome {
    let check = privilege::event_channel(EventChannelOp::Reset);
    let owner = read(argument).and_then(|wish: Reset| subject(guest, wish.dom, check));
    let owner = match owner {
        Ok(owner) => owner,
        Err(errno) => return Err(errno).into(),
    };
    let first = Port(first.0.max(1));
    match event::close_all(&Domains, &*owner, first, scheduler::should_yield) {
        Progress::Done => Ok(0).into(),
        Progress::At(Port(next)) => {
            Outcome::again([EventChannelOp::Reset as u64 | u64::from(next) << 32])
        }
    }
}

/// Tells the caller of a new port of `owner`. One that it can't be told of is closed again.
fn tell<T: IntoBytes + Immutable>(
    argument: u64,
    answer: &T,
    owner: &Domain,
    port: Port,
) -> Result<(), Errno> {
    write(argument, answer).inspect_err(|_| {
        let _ = event::close(&Domains, owner, port);
    })
}

#[inline(never)]
fn less_frequent(guest: &Guest<'_>, operation: u64, argument: u64) -> Answer {
    let operation = u32::try_from(operation)
        .ok()
        .and_then(|op| EventChannelOp::try_from(op).ok())
        .ok_or(Errno::ENOSYS)?;
    let domain = &**guest.domain;
    let check = privilege::event_channel(operation);
    match operation {
        EventChannelOp::AllocUnbound => {
            let mut wish: AllocUnbound = read(argument)?;
            let owner = subject(guest, wish.dom, check)?;
            wish.port = event::alloc_unbound(&*owner, resolve(guest, wish.remote_dom))?;
            tell(argument, &wish, &owner, wish.port)?;
        }
        EventChannelOp::BindInterdomain => {
            let mut wish: BindInterdomain = read(argument)?;
            let remote = resolve(guest, wish.remote_dom);
            wish.local_port = event::bind_interdomain(&Domains, domain, remote, wish.remote_port)?;
            tell(argument, &wish, domain, wish.local_port)?;
        }
        EventChannelOp::BindVirq => {
            let mut wish: BindVirq = read(argument)?;
            if let Ok(virq) = Virq::try_from(wish.virq) {
                admit(guest, privilege::virq(virq))?;
            }
            wish.port = event::bind_virq(domain, wish.virq, wish.vcpu)?;
            tell(argument, &wish, domain, wish.port)?;
        }
        EventChannelOp::BindIpi => {
            let mut wish: BindIpi = read(argument)?;
            wish.port = event::bind_ipi(domain, wish.vcpu)?;
            tell(argument, &wish, domain, wish.port)?;
        }
        EventChannelOp::BindPirq => {
            let mut wish: BindPirq = read(argument)?;
            wish.port = event::bind_pirq(domain, wish.pirq, wish.flags)?;
            tell(argument, &wish, domain, wish.port)?;
        }
        EventChannelOp::Close => {
            let wish: Close = read(argument)?;
            event::close(&Domains, domain, wish.port)?;
        }
        EventChannelOp::Status => {
            let mut wish: Status = read(argument)?;
            let owner = subject(guest, wish.dom, check)?;
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
        _ => return Err(Errno::ENOSYS),
    }
    Ok(0)
}
