//! What tools set of a domain and mostly only read again.

#![forbid(unsafe_code)]

use super::{Answer, Done, is_self};
use crate::arch::clock;
use crate::arch::guest::running::Guest;
use crate::domain::Domain;
use guest_abi::domctl::Domctl;
use guest_abi::domctl_domain::{SetDebugging, SetDomainHandle, SetTimeOffset, Subscribe};
use guest_abi::domctl_vcpu::TscInfo;
use guest_abi::errno::Errno;
use guest_abi::hypervisor_cpuid::TscMode;

pub(super) fn set_handle(wish: &Domctl, domain: &Domain) -> Answer {
    let SetDomainHandle { handle } = wish.u.read();
    domain.set(|settings| settings.handle = handle);
    Ok(Done::Quietly)
}

pub(super) fn set_debugging(guest: &Guest<'_>, wish: &Domctl, domain: &Domain) -> Answer {
    if is_self(guest, domain) {
        return Err(Errno::EINVAL);
    }
    let SetDebugging { enable } = wish.u.read();
    domain.set(|settings| settings.is_debugged = enable != 0);
    Ok(Done::Quietly)
}

pub(super) fn set_time_offset(wish: &Domctl, domain: &Domain) -> Answer {
    let SetTimeOffset {
        time_offset_seconds,
    } = wish.u.read();
    domain.set(|settings| settings.time_offset_s = time_offset_seconds);
    domain.tell_date();
    Ok(Done::Quietly)
}

pub(super) fn subscribe(wish: &Domctl, domain: &Domain) -> Answer {
    let Subscribe { port } = wish.u.read();
    domain.set(|settings| settings.suspend_port = port);
    Ok(Done::Quietly)
}

/// No counter is emulated: one that would have to be is refused.
pub(super) fn set_tsc(guest: &Guest<'_>, wish: &Domctl, domain: &Domain) -> Answer {
    if is_self(guest, domain) {
        return Err(Errno::EINVAL);
    }
    let info: TscInfo = wish.u.read();
    match TscMode::try_from(info.tsc_mode) {
        Ok(TscMode::Default | TscMode::Native) => {}
        Ok(_) => return Err(Errno::EOPNOTSUPP),
        Err(_) => return Err(Errno::EINVAL),
    }
    domain.set(|settings| {
        settings.tsc_mode = info.tsc_mode;
        settings.incarnation = info.incarnation.wrapping_add(1);
    });
    Ok(Done::Quietly)
}

pub(super) fn tsc(guest: &Guest<'_>, wish: &mut Domctl, domain: &Domain) -> Answer {
    if is_self(guest, domain) {
        return Err(Errno::EINVAL);
    }
    let settings = domain.settings();
    wish.u.write(&TscInfo {
        tsc_mode: settings.tsc_mode,
        gtsc_khz: clock::tsc_khz() as u32,
        incarnation: settings.incarnation,
        pad: 0,
        elapsed_nsec: clock::now_ns(),
    });
    Ok(Done::WithAnswer)
}
