//! `platform_op` wants its version, and knows its operations.

use super::super::prelude::*;
use guest_abi::platform::{CpuInfo, PlatformOp, PlatformOperation};

pub(crate) fn run() {
    let mut operation = PlatformOperation::new_zeroed();
    operation.cmd = PlatformOp::GetCpuInfo.number();
    assert_eq!(
        hypercall!(PlatformOp, &mut operation),
        Err(Errno::EACCES),
        "version 0"
    );
    operation.interface_version = guest_abi::platform::INTERFACE_VERSION;
    assert_eq!(hypercall!(PlatformOp, &mut operation), Ok(0));
    let info: CpuInfo = operation.u.read();
    assert!(
        info.max_present < 8,
        "processors up to {}",
        info.max_present
    );
    for cmd in [0, 16, 64, 1000] {
        operation.cmd = cmd;
        assert_eq!(
            hypercall!(PlatformOp, &mut operation),
            Err(Errno::ENOSYS),
            "command {cmd}"
        );
    }
}
