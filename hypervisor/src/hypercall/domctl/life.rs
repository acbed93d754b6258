//! Domains begin, pause, go on and end.

#![forbid(unsafe_code)]

use super::{Answer, Done, is_self, vcpu};
use crate::arch::guest::running::Guest;
use crate::control::create;
use crate::control::pauses::PauseError;
use crate::domain::control::Wanted;
use crate::domain::destroy::Destruction;
use crate::domain::{Domain, Domains, NUMBERS, NoMemory};
use crate::event::EventDomain;
use crate::sched::CpuSet;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU16, Ordering};
use guest_abi::domctl::Domctl;
use guest_abi::domctl_domain::{CreateDomain, SendTrigger, Trigger};
use guest_abi::domctl_vcpu::MaxVcpus;
use guest_abi::errno::Errno;
use guest_abi::ids::DomId;

/// The number that was given last.
static LAST: AtomicU16 = AtomicU16::new(0);

pub(super) fn create(wish: &mut Domctl) -> Answer {
    let number = if wish.domain.0 != 0 && wish.domain.0 < DomId::FIRST_RESERVED.0 {
        NUMBERS.take(wish.domain).ok_or(Errno::EEXIST)?
    } else {
        let last = DomId(LAST.load(Ordering::Relaxed));
        let free = NUMBERS.take_after(last).ok_or(Errno::ENOMEM)?;
        LAST.store(free.id().0, Ordering::Relaxed);
        free
    };
    let id = number.id();
    let plan = create::check(&wish.u.read::<CreateDomain>())?;
    let first = Domains.find(DomId::DOM0).ok_or(Errno::ESRCH)?;
    // What the processor is has been looked at for the first domain.
    let domain = Domain::new(number, *first.policy(), &plan).map_err(|NoMemory| Errno::ENOMEM)?;
    domain.tell_date();
    Domains.add(domain);
    wish.domain = id;
    Ok(Done::WithAnswer)
}

pub(super) fn destroy(guest: &Guest<'_>, domain: &Arc<Domain>) -> Answer {
    if is_self(guest, domain) {
        return Err(Errno::EINVAL);
    }
    match domain.destroy() {
        Destruction::Done => Ok(Done::Quietly),
        Destruction::Again => Ok(Done::Again),
    }
}

/// Describes the domain, or the one with the next higher number if there is none with this.
pub(super) fn describe(wish: &mut Domctl, domain: Option<Arc<Domain>>) -> Answer {
    let domain = domain
        .or_else(|| Domains.from(wish.domain))
        .ok_or(Errno::ESRCH)?;
    let info = domain.describe();
    wish.domain = info.domain;
    wish.u.write(&info);
    Ok(Done::WithAnswer)
}

pub(super) fn pause(guest: &Guest<'_>, domain: &Arc<Domain>) -> Answer {
    if is_self(guest, domain) {
        return Err(Errno::EINVAL);
    }
    // Who has paused it finds it standing still.
    match domain.while_stopped(|| domain.pause()) {
        Ok(Ok(())) => Ok(Done::Quietly),
        Ok(Err(PauseError::TooMany)) => Err(Errno::EOVERFLOW),
        Ok(Err(PauseError::NotPaused)) => Err(Errno::EINVAL),
        Err(Wanted) => Ok(Done::Again),
    }
}

pub(super) fn unpause(domain: &Domain) -> Answer {
    domain.unpause().map_err(|_| Errno::EINVAL)?;
    Ok(Done::Quietly)
}

pub(super) fn resume(guest: &Guest<'_>, domain: &Arc<Domain>) -> Answer {
    if is_self(guest, domain) {
        return Err(Errno::EINVAL);
    }
    if !domain.is_ending() {
        domain.resume();
    }
    Ok(Done::Quietly)
}

pub(super) fn make_vcpus(guest: &Guest<'_>, wish: &Domctl, domain: &Arc<Domain>) -> Answer {
    let MaxVcpus { max } = wish.u.read();
    if is_self(guest, domain) || max != domain.max_vcpus() {
        return Err(Errno::EINVAL);
    }
    if domain.is_ending() {
        return Err(Errno::EINVAL);
    }
    domain
        .make_vcpus(max, |_| CpuSet::ALL)
        .map_err(|_| Errno::ENOMEM)?;
    Ok(Done::Quietly)
}

pub(super) fn send_trigger(wish: &Domctl, domain: &Domain) -> Answer {
    let wish: SendTrigger = wish.u.read();
    let vcpu = vcpu(domain, wish.vcpu, Errno::ESRCH)?;
    match Trigger::try_from(wish.trigger) {
        Ok(Trigger::Nmi) => {
            vcpu.send_nmi();
            domain.kick(vcpu.id());
            Ok(Done::Quietly)
        }
        // Buttons, for guests that have some.
        Ok(Trigger::Power | Trigger::Sleep) => Err(Errno::EINVAL),
        _ => Err(Errno::ENOSYS),
    }
}
