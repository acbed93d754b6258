//! The version, the page size, the start of the hypervisor's addresses and the domain's identity.

use super::super::prelude::*;
use guest_abi::version::{MAJOR, MINOR, PlatformParameters, VersionOp};

pub(crate) fn run() {
    let version = u64::from(MAJOR << 16 | MINOR);
    assert_eq!(
        hypercall!(Version, VersionOp::Version.number(), 0u64),
        Ok(version)
    );
    assert_eq!(
        hypercall!(Version, VersionOp::PageSize.number(), 0u64),
        Ok(4096)
    );
    let mut parameters = PlatformParameters::new_zeroed();
    let op = VersionOp::PlatformParameters.number();
    assert_eq!(hypercall!(Version, op, &mut parameters), Ok(0));
    assert_eq!(parameters.virt_start, Vaddr::HYPERVISOR_START.0);
    // The first domain's identity is zero.
    let mut handle = [0xffu8; 17];
    let op = VersionOp::GuestHandle.number();
    assert_eq!(hypercall!(Version, op, &mut handle), Ok(0));
    assert_eq!(handle[..16], [0; 16]);
    assert_eq!(handle[16], 0xff, "no more than 16 bytes");
}
