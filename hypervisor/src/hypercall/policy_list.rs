//! Lists of CPUID leaves and MSRs in the memory of tools.

#![forbid(unsafe_code)]

use super::write as put;
use crate::arch::processors::{Host, guest_leaf};
use crate::control::policy::{self, MAX_LEAVES, MAX_MSRS, Mask};
use crate::cpu_policy::Policy;
use crate::cpu_policy::cpuid::{HostCpuid, Leaf};
use crate::domain::Domain;
use core::mem::size_of;
use guest_abi::cpu_policy::{CpuidLeaf, MsrEntry};
use guest_abi::errno::Errno;
use guest_abi::ids::Vaddr;

/// Whose answers they are.
pub(super) enum Source<'d> {
    /// The processor's.
    Host,
    /// Those of any domain but the first.
    Guests(Policy),
    /// A domain's.
    Domain(&'d Domain),
}

impl Source<'_> {
    pub(super) fn leaf(&self, leaf: u32, subleaf: u32) -> Leaf {
        match self {
            Self::Host => Host.leaf(leaf, subleaf),
            Self::Guests(policy) => guest_leaf(policy, false, &Mask::ALL, leaf, subleaf),
            Self::Domain(domain) => {
                let features = domain.settings().features;
                let is_first = domain.is_hardware_domain();
                guest_leaf(domain.policy(), is_first, &features, leaf, subleaf)
            }
        }
    }
}

/// Writes the leaves, or, to address 0, how many there can be.
pub(super) fn write(source: &Source<'_>, at: Vaddr, count: &mut u32) -> Result<(), Errno> {
    if at.0 == 0 {
        *count = MAX_LEAVES;
        return Ok(());
    }
    let (room, mut used) = (*count, 0u32);
    let mut result = Ok(());
    policy::for_each(
        |leaf, subleaf| source.leaf(leaf, subleaf),
        |entry: CpuidLeaf| {
            result = if used == room {
                Err(Errno::ENOBUFS)
            } else {
                let offset = u64::from(used) * size_of::<CpuidLeaf>() as u64;
                at.0.checked_add(offset)
                    .ok_or(Errno::EFAULT)
                    .and_then(|at| put(at, &entry))
            };
            used += 1;
            result.is_ok()
        },
    );
    result?;
    *count = used;
    Ok(())
}

/// MSRs of the lists: platform information without features, and no architectural capabilities.
const MSRS: [u32; MAX_MSRS as usize] = [0xCE, 0x10A];

/// Writes the MSRs, or, to address 0, how many there can be.
pub(super) fn write_msrs(_: &Source<'_>, at: Vaddr, count: &mut u32) -> Result<(), Errno> {
    if at.0 == 0 {
        *count = MAX_MSRS;
        return Ok(());
    }
    if *count < MAX_MSRS {
        return Err(Errno::ENOBUFS);
    }
    for (index, idx) in (0u64..).zip(MSRS) {
        let offset = index * size_of::<MsrEntry>() as u64;
        let at = at.0.checked_add(offset).ok_or(Errno::EFAULT)?;
        put(
            at,
            &MsrEntry {
                idx,
                flags: 0,
                val: 0,
            },
        )?;
    }
    *count = MAX_MSRS;
    Ok(())
}

/// Whether an MSR may be set: there is nothing in them to be had.
pub(super) fn check_msr(entry: &MsrEntry) -> Result<(), Errno> {
    if entry.flags != 0 {
        return Err(Errno::EINVAL);
    }
    if !MSRS.contains(&entry.idx) {
        return Err(Errno::ERANGE);
    }
    if entry.val == 0 {
        Ok(())
    } else {
        Err(Errno::EOVERFLOW)
    }
}
