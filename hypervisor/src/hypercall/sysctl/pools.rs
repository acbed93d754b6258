//! Domains, the pool of processors that they share, and its scheduler.

#![forbid(unsafe_code)]

use super::{Answer, Done};
use crate::arch::scheduler;
use crate::control::create::POOL;
use crate::domain::Domains;
use crate::hypercall::{cpu_map, write};
use crate::sched::CpuSet;
use crate::sched::credit::Parameters;
use core::mem::size_of;
use guest_abi::domctl_domain::DomainInfo;
use guest_abi::domctl_vcpu::Scheduler;
use guest_abi::errno::Errno;
use guest_abi::ids::DomId;
use guest_abi::sysctl::{DomainInfoList, Sysctl};
use guest_abi::sysctl_cpu::{
    CREDIT_MIGRATION_DELAY_MAX_US, CREDIT_TSLICE_MAX_MS, CREDIT_TSLICE_MIN_MS, CpupoolAction,
    CpupoolOp, CreditSchedule, RATELIMIT_MAX_US, RATELIMIT_MIN_US, SchedulerCommand, SchedulerId,
    SchedulerOp,
};

/// What ours is called to tools: the one whose parameters it has.
const SCHEDULER: u32 = Scheduler::Credit as u32;

pub(super) fn scheduler(wish: &mut Sysctl) -> Answer {
    wish.u.write(&SchedulerId {
        sched_id: SCHEDULER,
    });
    Ok(Done::WithAnswer)
}

/// Reads or sets the parameters of the pool's scheduler.
pub(super) fn parameters(wish: &mut Sysctl) -> Answer {
    let mut operation: SchedulerOp = wish.u.read();
    let command = SchedulerCommand::try_from(operation.cmd).map_err(|_| Errno::EINVAL)?;
    if operation.cpupool_id != POOL {
        return Err(Errno::ESRCH);
    }
    if operation.sched_id != SCHEDULER {
        return Err(Errno::EINVAL);
    }
    if command == SchedulerCommand::PutInfo {
        let wanted = understood(&operation.u.read()).ok_or(Errno::EINVAL)?;
        scheduler::set_parameters(wanted);
    }
    let Parameters {
        slice_ns,
        ratelimit_ns,
        migration_delay_ns,
    } = scheduler::parameters();
    operation.u.write(&CreditSchedule {
        tslice_ms: (slice_ns / 1_000_000) as u32,
        ratelimit_us: (ratelimit_ns / 1000) as u32,
        vcpu_migr_delay_us: (migration_delay_ns / 1000) as u32,
    });
    wish.u.write(&operation);
    Ok(Done::WithAnswer)
}

/// What a tool wants to set, if it may.
fn understood(wish: &CreditSchedule) -> Option<Parameters> {
    let wanted = Parameters {
        slice_ns: u64::from(wish.tslice_ms) * 1_000_000,
        ratelimit_ns: u64::from(wish.ratelimit_us) * 1000,
        migration_delay_ns: u64::from(wish.vcpu_migr_delay_us) * 1000,
    };
    let is_good = (CREDIT_TSLICE_MIN_MS..=CREDIT_TSLICE_MAX_MS).contains(&wish.tslice_ms)
        && (wish.ratelimit_us == 0
            || (RATELIMIT_MIN_US..=RATELIMIT_MAX_US).contains(&wish.ratelimit_us))
        && wanted.ratelimit_ns <= wanted.slice_ns
        && wish.vcpu_migr_delay_us <= CREDIT_MIGRATION_DELAY_MAX_US;
    is_good.then_some(wanted)
}

/// There is one pool, with all processors and all domains.
pub(super) fn pool(wish: &mut Sysctl) -> Answer {
    let mut operation: CpupoolOp = wish.u.read();
    match CpupoolAction::try_from(operation.op) {
        Ok(CpupoolAction::Info) => {
            if operation.cpupool_id > POOL {
                return Err(Errno::ENOENT);
            }
            operation.cpupool_id = POOL;
            operation.sched_id = SCHEDULER;
            operation.n_dom = Domains.count() as u32;
            cpu_map::write(&operation.cpumap, &scheduler::processors())?;
            wish.u.write(&operation);
            Ok(Done::WithAnswer)
        }
        Ok(CpupoolAction::FreeInfo) => {
            cpu_map::write(&operation.cpumap, &CpuSet::EMPTY)?;
            Ok(Done::WithAnswer)
        }
        Ok(action) => change(action, &operation),
        Err(_) => Err(Errno::ENOSYS),
    }
}

/// What would change pools: what is told of others that there are not, and of this one that stays as it is.
fn change(action: CpupoolAction, wish: &CpupoolOp) -> Answer {
    let has_pool = wish.cpupool_id == POOL;
    let domain = u16::try_from(wish.domid).map(DomId);
    let has_domain = domain.is_ok_and(|domain| Domains.find(domain).is_some());
    match action {
        CpupoolAction::MoveDomain if !has_domain => Err(Errno::ESRCH),
        CpupoolAction::Destroy
        | CpupoolAction::AddCpu
        | CpupoolAction::RemoveCpu
        | CpupoolAction::MoveDomain
            if !has_pool =>
        {
            Err(Errno::ENOENT)
        }
        // All domains are there already, and all processors.
        CpupoolAction::MoveDomain => Ok(Done::Quietly),
        CpupoolAction::AddCpu => Err(Errno::ENODEV),
        CpupoolAction::Destroy => Err(Errno::EBUSY),
        _ => Err(Errno::EOPNOTSUPP),
    }
}

/// Describes domains, by number, as many as there is room for.
pub(super) fn domains(wish: &mut Sysctl) -> Answer {
    let mut list: DomainInfoList = wish.u.read();
    let mut next = list.first_domain;
    let mut count = 0;
    while count < list.max_domains
        && let Some(domain) = Domains.from(next)
    {
        let offset = u64::from(count) * size_of::<DomainInfo>() as u64;
        let at = list.buffer.0.checked_add(offset).ok_or(Errno::EFAULT)?;
        write(at, &domain.describe())?;
        count += 1;
        next = DomId(domain.id().0.saturating_add(1));
    }
    list.num_domains = count;
    wish.u.write(&list);
    Ok(Done::WithAnswer)
}
