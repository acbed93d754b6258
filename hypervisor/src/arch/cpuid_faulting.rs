//! Making this processor refuse CPUID outside of ring 0, if it can: see [`faulting`].

use super::msr;
use super::processors::Host;
use crate::cpu_policy::cpuid::Vendor;
use crate::cpu_policy::faulting::{self, PLATFORM_INFO, Switch};

fn switch() -> Option<Switch> {
    let leaf = msr::cpuid(0x8000_0021, 0).eax;
    faulting::switch(Vendor::of(&Host), leaf, || {
        msr::read_if_there(PLATFORM_INFO)
    })
}

/// Switches it on, on this processor, whose exceptions are handled already. `true` if it is on.
pub(super) fn set_up_processor() -> bool {
    let Some(switch) = switch() else {
        return false;
    };
    let Some(before) = msr::read_if_there(switch.register) else {
        return false;
    };
    // An outer hypervisor may promise the bit and then refuse it, or ignore it.
    // SAFETY: binds code outside of ring 0 alone, whose #GP is answered.
    unsafe { msr::write_if_there(switch.register, switch.on(before)) };
    msr::read_if_there(switch.register).is_some_and(|now| switch.is_on(now))
}
