//! Control of one domain by tools.
//!
//! The operation is copied in, it is looked whether there is such a domain, then at its row in the table of privileges, and
//! then it waits for its turn: control operations are done one at a time. The domain that it is about is the one that has the
//! number then: it isn't gone before the operation ends. One that can't go on at once is made again by the caller, with
//! nothing changed that it could see.

#![forbid(unsafe_code)]

mod affinity;
mod context;
mod cpuid;
mod extended;
mod life;
mod memory;
mod rights;
mod settings;

use super::{Outcome, check_version, read, write};
use crate::arch::guest::running::Guest;
use crate::control::privilege;
use crate::domain::control::{Turn, Wanted};
use crate::domain::{Domain, Domains, Vcpu};
use crate::speculation;
use alloc::sync::Arc;
use guest_abi::domctl::{Domctl, DomctlOp, INTERFACE_VERSION};
use guest_abi::errno::Errno;
use guest_abi::ids::{DomId, VcpuId};

/// What an operation comes to, if it comes to something.
enum Done {
    /// It is done.
    Quietly,
    /// It is done, and the caller reads in the argument what is so.
    WithAnswer,
    /// The caller makes it again.
    Again,
}

type Answer = Result<Done, Errno>;

impl From<Wanted> for Done {
    fn from(Wanted: Wanted) -> Self {
        Self::Again
    }
}

pub(super) fn domctl(guest: &Guest<'_>, argument: u64) -> Outcome {
    let mut wish: Domctl = match read(argument) {
        Ok(wish) => wish,
        Err(errno) => return Err(errno).into(),
    };
    match perform(guest, &mut wish) {
        Ok(Done::Quietly) => Ok(0).into(),
        Ok(Done::WithAnswer) => write(argument, &wish).map(|()| 0).into(),
        Ok(Done::Again) => Outcome::again([argument]),
        Err(Refusal { errno, has_answer }) => {
            if has_answer {
                // What can't be told is not.
                let _ = write(argument, &wish);
            }
            Err(errno).into()
        }
    }
}

/// A refusal, and whether the argument says more about it.
struct Refusal {
    errno: Errno,
    has_answer: bool,
}

impl Refusal {
    /// One of which the argument says more.
    fn told(errno: Errno) -> Self {
        Self {
            errno,
            has_answer: true,
        }
    }
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self {
            errno,
            has_answer: false,
        }
    }
}

fn perform(guest: &Guest<'_>, wish: &mut Domctl) -> Result<Done, Refusal> {
    check_version(wish.interface_version, INTERFACE_VERSION)?;
    let operation = DomctlOp::try_from(wish.cmd).ok();
    let needs_domain = !matches!(
        operation,
        Some(DomctlOp::CreateDomain | DomctlOp::GetDomainInfo)
    );
    if needs_domain && Domains.find(wish.domain).is_none() {
        return Err(Errno::ESRCH.into());
    }
    let rule = operation.map_or(privilege::UNKNOWN, privilege::domctl);
    rule.admit(guest.domain.rights())?;
    speculation::barrier();
    if operation == Some(DomctlOp::GetDomainInfo) && wish.domain.0 >= DomId::FIRST_RESERVED.0 {
        // No domain has such a number, and none has a higher one.
        return Err(Errno::EINVAL.into());
    }
    let (Some(operation), Some(_turn)) = (operation, Turn::take()) else {
        return Ok(Done::Again);
    };
    match (operation, Domains.find(wish.domain)) {
        (DomctlOp::CreateDomain, _) => Ok(life::create(wish)?),
        (DomctlOp::GetDomainInfo, domain) => Ok(life::describe(wish, domain)?),
        (_, None) => Err(Errno::ESRCH.into()),
        (DomctlOp::SetCpuPolicy, Some(domain)) => {
            cpuid::set(guest, wish, &domain).map_err(Refusal::told)
        }
        (DomctlOp::SetVcpuMsrs, Some(domain)) => {
            extended::set_msrs(guest, wish, &domain).map_err(Refusal::told)
        }
        (operation, Some(domain)) => Ok(on_domain(guest, wish, operation, &domain)?),
    }
}

fn on_domain(
    guest: &Guest<'_>,
    wish: &mut Domctl,
    operation: DomctlOp,
    domain: &Arc<Domain>,
) -> Answer {
    use DomctlOp as Op;
    match operation {
        Op::DestroyDomain => life::destroy(guest, domain),
        Op::PauseDomain => life::pause(guest, domain),
        Op::UnpauseDomain => life::unpause(domain),
        Op::ResumeDomain => life::resume(guest, domain),
        Op::MaxVcpus => life::make_vcpus(guest, wish, domain),
        Op::SendTrigger => life::send_trigger(wish, domain),
        Op::MaxMem => memory::set_max(wish, domain),
        Op::HypercallInit => memory::fill_hypercall_page(guest, wish, domain),
        Op::SetAddressSize => memory::set_address_size(wish),
        Op::GetAddressSize => memory::address_size(wish),
        Op::GetPageFrameInfo => memory::frame_types(wish, domain),
        Op::SetVcpuContext => context::set(guest, wish, domain),
        Op::GetVcpuContext => context::get(guest, wish, domain),
        Op::GetVcpuInfo => context::describe(wish, domain),
        Op::SetExtVcpuContext => extended::set_entries(guest, wish, domain),
        Op::GetExtVcpuContext => extended::entries(guest, wish, domain),
        Op::SetVcpuExtendedState => extended::set_state(guest, wish, domain),
        Op::GetVcpuExtendedState => extended::state(guest, wish, domain),
        Op::GetVcpuMsrs => extended::msrs(guest, wish, domain),
        Op::SetVcpuAffinity => affinity::set(wish, domain),
        Op::GetVcpuAffinity => affinity::get(wish, domain),
        Op::SetNodeAffinity => affinity::set_nodes(wish),
        Op::GetNodeAffinity => affinity::nodes(wish),
        Op::SchedulerOp => affinity::share(wish, domain),
        Op::GetCpuPolicy => cpuid::get(wish, domain),
        Op::SetDomainHandle => settings::set_handle(wish, domain),
        Op::SetDebugging => settings::set_debugging(guest, wish, domain),
        Op::SetTimeOffset => settings::set_time_offset(wish, domain),
        Op::Subscribe => settings::subscribe(wish, domain),
        Op::SetTscInfo => settings::set_tsc(guest, wish, domain),
        Op::GetTscInfo => settings::tsc(guest, wish, domain),
        Op::IrqPermission => rights::interrupt(wish),
        Op::IomemPermission => rights::memory(wish),
        Op::IoportPermission => rights::ports(wish),
        // The table lets no other through.
        _ => Err(Errno::ENOSYS),
    }
}

/// Whether the caller asks about itself.
fn is_self(guest: &Guest<'_>, domain: &Domain) -> bool {
    guest.domain.id() == domain.id()
}

/// vCPU `number`, or this error.
fn vcpu(domain: &Domain, number: u32, errno: Errno) -> Result<&Arc<Vcpu>, Errno> {
    domain.vcpu(VcpuId(number)).ok_or(errno)
}

/// vCPU `number`: one that the domain can't have is no sound question, and one that it has not got yet is not there.
fn possible_vcpu(domain: &Domain, number: u32) -> Result<&Arc<Vcpu>, Errno> {
    if number >= domain.max_vcpus() {
        return Err(Errno::EINVAL);
    }
    vcpu(domain, number, Errno::ESRCH)
}

/// A vCPU that is not the one that asks.
fn other_vcpu<'d>(
    guest: &Guest<'_>,
    domain: &'d Domain,
    number: u32,
    missing: Errno,
) -> Result<&'d Arc<Vcpu>, Errno> {
    let found = vcpu(domain, number, missing)?;
    if Arc::ptr_eq(found, guest.vcpu) {
        return Err(Errno::EINVAL);
    }
    Ok(found)
}
