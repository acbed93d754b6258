//! Events in arrays, the second of the two schemes, are not offered: kernels then keep to the first.

use super::super::prelude::*;

pub(crate) fn run() {
    let mut argument = [0u64; 4];
    for op in [11u64, 12, 13] {
        let outcome = hypercall!(EventChannelOp, op, &mut argument);
        assert_eq!(outcome, Err(Errno::ENOSYS), "operation {op}");
    }
    let outcome = hypercall!(EventChannelOp, 14u64, &mut argument);
    assert_eq!(outcome, Err(Errno::ENOSYS), "no operation");
}
