//! What CPUID and MSRs show to a domain.

#![forbid(unsafe_code)]

use super::{Answer, Done, is_self};
use crate::arch::guest::running::Guest;
use crate::control::policy::{MAX_LEAVES, MAX_MSRS, Mask, Misfit};
use crate::domain::Domain;
use crate::hypercall::policy_list::{self, Source};
use crate::hypercall::read;
use core::mem::size_of;
use guest_abi::cpu_policy::{CpuidLeaf, MsrEntry};
use guest_abi::domctl::Domctl;
use guest_abi::domctl_vcpu::{CpuPolicy, NO_ERROR};
use guest_abi::errno::Errno;

pub(super) fn get(wish: &mut Domctl, domain: &Domain) -> Answer {
    let mut lists: CpuPolicy = wish.u.read();
    let source = Source::Domain(domain);
    policy_list::write(&source, lists.leaves, &mut lists.nr_leaves)?;
    policy_list::write_msrs(&source, lists.msrs, &mut lists.nr_msrs)?;
    wish.u.write(&lists);
    Ok(Done::WithAnswer)
}

pub(super) fn set(guest: &Guest<'_>, wish: &mut Domctl, domain: &Domain) -> Answer {
    if is_self(guest, domain) {
        return Err(Errno::EINVAL);
    }
    if domain.has_begun() {
        return Err(Errno::EEXIST);
    }
    let mut lists: CpuPolicy = wish.u.read();
    lists.err_leaf = NO_ERROR;
    lists.err_subleaf = NO_ERROR;
    lists.err_msr = NO_ERROR;
    let result = read_mask(&mut lists);
    wish.u.write(&lists);
    let mask = result?;
    domain.set(|settings| settings.features = mask);
    Ok(Done::Quietly)
}

/// Reads both lists. What is wrong with them is said in `lists`.
fn read_mask(lists: &mut CpuPolicy) -> Result<Mask, Errno> {
    if lists.nr_leaves > MAX_LEAVES || lists.nr_msrs > MAX_MSRS {
        return Err(Errno::E2BIG);
    }
    let mut mask = Mask::ALL;
    for index in 0..u64::from(lists.nr_leaves) {
        let at = lists
            .leaves
            .0
            .checked_add(index * size_of::<CpuidLeaf>() as u64);
        let leaf: CpuidLeaf = read(at.ok_or(Errno::EFAULT)?)?;
        mask.add(&leaf).map_err(|Misfit { leaf, subleaf }| {
            (lists.err_leaf, lists.err_subleaf) = (leaf, subleaf);
            Errno::ERANGE
        })?;
    }
    for index in 0..u64::from(lists.nr_msrs) {
        let at = lists
            .msrs
            .0
            .checked_add(index * size_of::<MsrEntry>() as u64);
        let entry: MsrEntry = read(at.ok_or(Errno::EFAULT)?)?;
        policy_list::check_msr(&entry).inspect_err(|_| lists.err_msr = entry.idx)?;
    }
    Ok(mask)
}
