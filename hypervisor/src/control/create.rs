//! Whether a wish for a new domain makes sense, and what it comes to.
#![forbid(unsafe_code)]

use guest_abi::domctl_domain::{
    CreateDomain, CreateFlags, EmulationFlags, GRANT_VERSION_MASK, IommuOptions, MiscFlags,
};
use guest_abi::errno::Errno;
use guest_abi::event_channel::NR_PORTS_2L;
use guest_abi::grant_table::{DEFAULT_MAX_FRAMES, DEFAULT_MAX_MAPTRACK_FRAMES};

/// vCPUs that a domain may have.
pub const MAX_VCPUS: u32 = 8192;
/// The one pool of processors.
pub const POOL: u32 = 0;

/// A domain that can be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Identity.
    pub handle: [u8; 16],
    /// Security label, kept for who asks.
    pub ssidref: u32,
    /// Whether it runs the store.
    pub is_store: bool,
    /// vCPUs.
    pub max_vcpus: u32,
    /// Highest port.
    pub max_port: u32,
    /// Frames of its grant table at most.
    pub max_grant_frames: u32,
    /// Frames of mapping handles at most.
    pub max_maptrack_frames: u32,
    /// Whether unknown MSRs read as the hardware's.
    pub has_relaxed_msrs: bool,
}

/// Checks a wish.
///
/// # Errors
/// `EINVAL` for what no paravirtualized domain can be, or what this machine does not offer; `EOPNOTSUPP` for emulated devices; `ESRCH` for a pool of
/// processors that does not exist.
pub fn check(wish: &CreateDomain) -> Result<Plan, Errno> {
    let allowed = CreateFlags::XS_DOMAIN | CreateFlags::OOS_OFF;
    let versions = wish.grant_opts & GRANT_VERSION_MASK;
    let is_sound = wish.flags.bits() & !allowed.bits() == 0
        && wish.iommu_opts == IommuOptions::empty()
        && (1..=MAX_VCPUS).contains(&wish.max_vcpus)
        && wish.grant_opts & !GRANT_VERSION_MASK == 0
        // Version 2 is allowed to be the highest: a guest that asks gets version 1.
        && (1..=2).contains(&versions)
        && wish.vmtrace_size == 0
        && wish.arch.misc_flags.bits() & !MiscFlags::MSR_RELAXED.bits() == 0;
    if !is_sound {
        return Err(Errno::EINVAL);
    }
    if wish.arch.emulation_flags != EmulationFlags::empty() {
        return Err(Errno::EOPNOTSUPP);
    }
    if wish.cpupool_id != POOL {
        return Err(Errno::ESRCH);
    }
    let or_default = |wish: i32, default: u32| u32::try_from(wish).unwrap_or(default);
    let max_grant_frames = or_default(wish.max_grant_frames, DEFAULT_MAX_FRAMES);
    let max_maptrack_frames = or_default(wish.max_maptrack_frames, DEFAULT_MAX_MAPTRACK_FRAMES);
    if !(1..=DEFAULT_MAX_FRAMES).contains(&max_grant_frames)
        || max_maptrack_frames > DEFAULT_MAX_MAPTRACK_FRAMES
    {
        return Err(Errno::EINVAL);
    }
    Ok(Plan {
        handle: wish.handle,
        ssidref: wish.ssidref,
        is_store: wish.flags.contains(CreateFlags::XS_DOMAIN),
        max_vcpus: wish.max_vcpus,
        max_port: wish.max_evtchn_port.min(NR_PORTS_2L - 1),
        max_grant_frames,
        max_maptrack_frames,
        has_relaxed_msrs: wish.arch.misc_flags.contains(MiscFlags::MSR_RELAXED),
    })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use zerocopy::FromZeros;

    fn wish() -> CreateDomain {
        let mut wish = CreateDomain::new_zeroed();
        wish.max_vcpus = 2;
        wish.max_evtchn_port = 1023;
        wish.max_grant_frames = -1;
        wish.max_maptrack_frames = -1;
        wish.grant_opts = 1;
        wish
    }

    #[test]
    fn what_tools_ask_for_is_a_plan() {
        let plan = check(&wish()).unwrap();
        assert_eq!(
            (plan.max_vcpus, plan.max_port, plan.max_grant_frames),
            (2, 1023, DEFAULT_MAX_FRAMES)
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        type Case = (fn(&mut CreateDomain), Errno);
        let refused: [Case; 13] = [
            (|wish| wish.flags = CreateFlags::HVM, Errno::EINVAL),
            (|wish| wish.flags = CreateFlags::HAP, Errno::EINVAL),
            (|wish| wish.flags = CreateFlags::IOMMU, Errno::EINVAL),
            (
                |wish| wish.flags = CreateFlags::from_bits_retain(1 << 31),
                Errno::EINVAL,
            ),
            (|wish| wish.max_vcpus = 0, Errno::EINVAL),
            (|wish| wish.max_vcpus = MAX_VCPUS + 1, Errno::EINVAL),
            (|wish| wish.grant_opts = 0, Errno::EINVAL),
            (|wish| wish.grant_opts = 0x11, Errno::EINVAL),
            (|wish| wish.max_grant_frames = 0, Errno::EINVAL),
            (|wish| wish.max_grant_frames = i32::MAX, Errno::EINVAL),
            (|wish| wish.max_maptrack_frames = i32::MAX, Errno::EINVAL),
            (
                |wish| wish.arch.emulation_flags = EmulationFlags::PIT,
                Errno::EOPNOTSUPP,
            ),
            (|wish| wish.cpupool_id = 1, Errno::ESRCH),
        ];
        for (index, (spoil, errno)) in refused.into_iter().enumerate() {
            let mut wish = wish();
            spoil(&mut wish);
            assert_eq!(check(&wish), Err(errno), "case {index}");
        }
    }

    #[test]
    fn limits_are_kept() {
        let mut wish = wish();
        wish.max_evtchn_port = u32::MAX;
        wish.max_grant_frames = 4;
        wish.max_maptrack_frames = 0;
        let plan = check(&wish).unwrap();
        assert_eq!(
            (
                plan.max_port,
                plan.max_grant_frames,
                plan.max_maptrack_frames
            ),
            (NR_PORTS_2L - 1, 4, 0)
        );
    }
}
