//! Where vCPUs run, and how much.

#![forbid(unsafe_code)]

use super::{Answer, Done, possible_vcpu};
use crate::arch::scheduler;
use crate::domain::Domain;
use crate::hypercall::cpu_map;
use crate::sched::{CpuId, CpuSet};
use guest_abi::domctl::Domctl;
use guest_abi::domctl_domain::NodeAffinity;
use guest_abi::domctl_vcpu::{
    AffinityFlags, Scheduler, SchedulerCommand, SchedulerCredit, SchedulerOp, VcpuAffinity,
};
use guest_abi::errno::Errno;

fn read(wish: &Domctl) -> Result<VcpuAffinity, Errno> {
    let wish: VcpuAffinity = wish.u.read();
    let names =
        |flag, map: &guest_abi::bitmap::Bitmap| !wish.flags.contains(flag) || map.bitmap.0 != 0;
    let is_sound = !wish.flags.is_empty()
        && names(AffinityFlags::HARD, &wish.cpumap_hard)
        && names(AffinityFlags::SOFT, &wish.cpumap_soft);
    is_sound.then_some(wish).ok_or(Errno::EINVAL)
}

pub(super) fn set(wish: &Domctl, domain: &Domain) -> Answer {
    let number = wish.u.read::<VcpuAffinity>().vcpu;
    let vcpu = possible_vcpu(domain, number)?;
    let wish = read(wish)?;
    // Both first: what can't be read changes nothing.
    let asked = |flag, map| match wish.flags.contains(flag) {
        true => cpu_map::read(map).map(Some),
        false => Ok(None),
    };
    let hard = asked(AffinityFlags::HARD, &wish.cpumap_hard)?;
    let soft = asked(AffinityFlags::SOFT, &wish.cpumap_soft)?;
    let online = scheduler::processors();
    if wish.flags.contains(AffinityFlags::FORCE) {
        let before = vcpu.overridden_affinity.lock().take();
        if let Some(before) = before {
            scheduler::set_affinity(vcpu, before).map_err(|_| Errno::EINVAL)?;
        }
    }
    if let Some(hard) = hard {
        if vcpu.overridden_affinity.lock().is_some() {
            return Err(Errno::EBUSY);
        }
        scheduler::set_affinity(vcpu, hard).map_err(|_| Errno::EINVAL)?;
        cpu_map::write(&wish.cpumap_hard, &hard.intersection(&online))?;
    }
    if let Some(soft) = soft {
        // It is a wish: one that can't be met, as of processors that there are not, has no effect, and is no mistake.
        scheduler::set_soft_affinity(vcpu, &soft);
        let in_effect = soft
            .intersection(&online)
            .intersection(&scheduler::affinity(vcpu));
        cpu_map::write(&wish.cpumap_soft, &in_effect)?;
    }
    Ok(Done::Quietly)
}

/// A set as tools see it: no processors that there can't be.
fn shown(set: CpuSet) -> CpuSet {
    set.intersection(&scheduler::processors())
}

pub(super) fn get(wish: &Domctl, domain: &Domain) -> Answer {
    let number = wish.u.read::<VcpuAffinity>().vcpu;
    let vcpu = possible_vcpu(domain, number)?;
    let wish = read(wish)?;
    if wish.flags.contains(AffinityFlags::HARD) {
        cpu_map::write(&wish.cpumap_hard, &shown(scheduler::affinity(vcpu)))?;
    }
    if wish.flags.contains(AffinityFlags::SOFT) {
        let soft = scheduler::soft_affinity(vcpu);
        cpu_map::write(&wish.cpumap_soft, &shown(soft))?;
    }
    Ok(Done::Quietly)
}

/// The one node that there is.
const NODE: CpuId = CpuId(0);

pub(super) fn set_nodes(wish: &Domctl) -> Answer {
    let NodeAffinity { nodemap } = wish.u.read();
    let nodes = cpu_map::read(&nodemap)?;
    if nodes.contains(NODE) {
        Ok(Done::Quietly)
    } else {
        Err(Errno::EINVAL)
    }
}

pub(super) fn nodes(wish: &Domctl) -> Answer {
    let NodeAffinity { nodemap } = wish.u.read();
    cpu_map::write(&nodemap, &CpuSet::only(NODE))?;
    Ok(Done::Quietly)
}

/// Reads or sets how much of the processors a domain gets.
pub(super) fn share(wish: &mut Domctl, domain: &Domain) -> Answer {
    let mut operation: SchedulerOp = wish.u.read();
    if operation.sched_id != Scheduler::Credit as u32 {
        return Err(Errno::EINVAL);
    }
    match SchedulerCommand::try_from(operation.cmd) {
        Ok(SchedulerCommand::GetInfo) => {
            operation.u.write(&SchedulerCredit {
                weight: domain.share.weight(),
                cap: domain.share.cap(),
            });
            wish.u.write(&operation);
            Ok(Done::WithAnswer)
        }
        Ok(SchedulerCommand::PutInfo) => {
            let SchedulerCredit { weight, cap } = operation.u.read();
            if weight != 0 {
                domain.share.set_weight(weight);
            }
            if cap != u16::MAX {
                domain.share.set_cap(cap);
            }
            Ok(Done::WithAnswer)
        }
        _ => Err(Errno::EINVAL),
    }
}
