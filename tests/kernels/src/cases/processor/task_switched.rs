//! With the task-switched flag set the first floating-point instruction of the kernel is vector 7, which
//! clears the flag.

use super::super::prelude::*;

pub(crate) fn run() {
    for _ in 0..3 {
        assert_eq!(probe!("movups xmm0, xmm1"), None);
        assert_eq!(hypercall!(FpuTaskswitch, 1u64), Ok(0));
        let trap = probe!("nop", "movups xmm0, xmm1");
        let trap = trap::expect(trap, NM, 0);
        assert_eq!(trap.offset, 1);
        assert_eq!(probe!("movups xmm0, xmm1"), None, "the second time");
        assert_eq!(hypercall!(FpuTaskswitch, 1u64), Ok(0));
        trap::expect(probe!("fnop"), NM, 0);
        assert_eq!(hypercall!(FpuTaskswitch, 1u64), Ok(0));
        assert_eq!(hypercall!(FpuTaskswitch, 0u64), Ok(0));
        assert_eq!(probe!("fnop"), None);
    }
}
