//! EFER shows long mode and system calls, without the virtualization extension, and takes only the value
//! that it has.

use super::super::prelude::*;
use crate::cpu::read_msr;

const EFER: u32 = 0xc000_0080;
/// SCE, LME, LMA, NXE.
const SHOWN: u64 = 1 | 1 << 8 | 1 << 10 | 1 << 11;

pub(crate) fn run() {
    let Some(efer) = read_msr(EFER) else {
        panic!("reading it faults");
    };
    assert_eq!(efer & (SHOWN | 1 << 12), SHOWN, "EFER {efer:#x}");
    let trap = probe!("wrmsr"; in("ecx") EFER, in("eax") efer as u32, in("edx") 0);
    assert_eq!(trap, None);
    for change in [1, 1 << 8, 1 << 11] {
        let trap = probe!("wrmsr"; in("ecx") EFER, in("eax") (efer ^ change) as u32, in("edx") 0);
        trap::expect(trap, GP, 0);
    }
}
