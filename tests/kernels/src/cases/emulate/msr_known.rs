//! MSRs that kernels read at their start have the values that the ABI gives.

use super::super::prelude::*;
use crate::cpu::read_msr;
use guest_abi::start_of_day::PAT;

pub(crate) fn run() {
    assert_eq!(read_msr(0x277), Some(PAT), "the page attributes");
    assert_eq!(
        read_msr(0x1b),
        Some(0xfee0_0900),
        "the local APIC's address, first vCPU"
    );
    let (Some(first), Some(second)) = (read_msr(0x10), read_msr(0x10)) else {
        panic!("the time stamp counter can't be read");
    };
    assert!(second > first);
    // A local APIC in a place of the guest's choice is not offered.
    let trap = probe!("wrmsr"; in("ecx") 0x1b, in("eax") 0xfed0_0900u32, in("edx") 0);
    trap::expect(trap, GP, 0);
}
