//! Domains, the pool of processors that they share, and its scheduler.

#![forbid(unsafe_code)]

use super::{Answer, Done};
use crate::arch::scheduler;
use crate::control::create::POOL;
use crate::domain::Domains;
use crate::hypercall::{cpu_map, write};
use crate::sched::CpuSet;
use crate::sched::round_robin::SLICE_NS;
use core::mem::size_of;
use guest_abi::domctl_domain::DomainInfo;
use guest_abi::domctl_vcpu::Scheduler;
use guest_abi::errno::Errno;
use guest_abi::ids::DomId;
use guest_abi::sysctl::{DomainInfoList, Sysctl};
use guest_abi::sysctl_cpu::{
    CpupoolAction, CpupoolOp, CreditSchedule, SchedulerCommand, SchedulerId, SchedulerOp,
};

/// What ours is called to tools: the one whose parameters it has.
const SCHEDULER: u32 = Scheduler::Credit as u32;

pub(super) fn scheduler(wish: &mut Sysctl) -> Answer {
    wish.u.write(&SchedulerId {
        sched_id: SCHEDULER,
    });
    Ok(Done::WithAnswer)
}

/// The parameters of the pool's scheduler, which are fixed.
pub(super) fn parameters(wish: &mut Sysctl) -> Answer {
    let mut operation: SchedulerOp = wish.u.read();
    if operation.cpupool_id != POOL {
        return Err(Errno::ESRCH);
    }
    if operation.sched_id != SCHEDULER {
        return Err(Errno::EINVAL);
    }
    match SchedulerCommand::try_from(operation.cmd) {
        Ok(SchedulerCommand::GetInfo) => {
            operation.u.write(&CreditSchedule {
                tslice_ms: (SLICE_NS / 1_000_000) as u32,
                ratelimit_us: 0,
                vcpu_migr_delay_us: 0,
            });
            wish.u.write(&operation);
            Ok(Done::WithAnswer)
        }
        Ok(SchedulerCommand::PutInfo) => Err(Errno::EOPNOTSUPP),
        Err(_) => Err(Errno::EINVAL),
    }
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
        Ok(_) => Err(Errno::EOPNOTSUPP),
        Err(_) => Err(Errno::ENOSYS),
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
