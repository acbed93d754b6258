//! CPUID faulting: a processor that can refuse CPUID outside of ring 0 (#GP), so that the hypervisor answers those that
//! nobody has marked, of programs too.
//!
//! It is switched on once on each processor and stays on: nothing but guests executes outside of ring 0, and each of them has
//! a policy. Where the processor can't do it, programs see the processor's own answers, as they always do there; what a
//! kernel asks for by the mark is answered all the same.

use super::cpuid::Vendor;

/// PLATFORM_INFO (Intel SDM volume 4, table 2-2).
pub const PLATFORM_INFO: u32 = 0xCE;
const CAN_FAULT: u64 = 1 << 31;
/// MISC_FEATURES_ENABLES.
const MISC_FEATURES_ENABLES: u32 = 0x140;
const CPUID_FAULT: u64 = 1 << 0;
/// HWCR (AMD APM volume 2, 3.2.10), and the bit of leaf 0x8000_0021, EAX, that says that it has the other one.
const HWCR: u32 = 0xC001_0015;
const CPUID_USER_DIS: u64 = 1 << 35;
const HAS_CPUID_USER_DIS: u32 = 1 << 17;

/// A bit that makes the processor refuse.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Switch {
    /// The model-specific register.
    pub register: u32,
    bit: u64,
}

impl Switch {
    /// What switches it on, given what is in the register.
    #[must_use]
    pub const fn on(self, register: u64) -> u64 {
        register | self.bit
    }

    /// Whether it is on.
    #[must_use]
    pub const fn is_on(self, register: u64) -> bool {
        register & self.bit != 0
    }
}

/// How a processor is made to refuse, if it can: by what leaf 0x8000_0021 has in EAX, and by what `platform_info`
/// reads from [`PLATFORM_INFO`], a register that not all have.
#[must_use]
pub fn switch(
    vendor: Vendor,
    leaf_80000021_eax: u32,
    platform_info: impl FnOnce() -> Option<u64>,
) -> Option<Switch> {
    match vendor {
        Vendor::Amd => (leaf_80000021_eax & HAS_CPUID_USER_DIS != 0).then_some(Switch {
            register: HWCR,
            bit: CPUID_USER_DIS,
        }),
        // Those that are like Intel's, and what an outer hypervisor makes of them.
        _ => (platform_info()? & CAN_FAULT != 0).then_some(Switch {
            register: MISC_FEATURES_ENABLES,
            bit: CPUID_FAULT,
        }),
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{CAN_FAULT, HAS_CPUID_USER_DIS, HWCR, MISC_FEATURES_ENABLES, Vendor, switch};

    #[test]
    fn intels_processors_say_it_in_a_register_that_may_not_be_there() {
        let found = |info| switch(Vendor::Intel, u32::MAX, || info);
        assert_eq!(found(None), None);
        assert_eq!(found(Some(0)), None);
        assert_eq!(found(Some(!CAN_FAULT)), None);
        let switch = found(Some(CAN_FAULT)).unwrap();
        assert_eq!(switch.register, MISC_FEATURES_ENABLES);
        for before in [0, 2, 1 << 63] {
            assert!(!switch.is_on(before));
            assert_eq!(switch.on(before), before | 1);
            assert!(switch.is_on(switch.on(before)));
        }
    }

    #[test]
    fn amds_say_it_in_a_leaf_and_the_register_is_not_read() {
        let found = |leaf| switch(Vendor::Amd, leaf, || panic!("no such register"));
        assert_eq!(found(0), None);
        assert_eq!(found(!HAS_CPUID_USER_DIS), None);
        let switch = found(HAS_CPUID_USER_DIS).unwrap();
        assert_eq!(switch.register, HWCR);
        assert_eq!(switch.on(0x0100_0011), 1 << 35 | 0x0100_0011);
    }
}
