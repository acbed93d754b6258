//! What takes no argument refuses one where the ABI says so, and a build identifier that does not fit is
//! refused with its length.

use super::super::prelude::*;
use guest_abi::version::{BuildId, VersionOp};

pub(crate) fn run() {
    let mut argument = [0u64; 16];
    let op = VersionOp::PageSize.number();
    assert_eq!(hypercall!(Version, op, &mut argument), Err(Errno::EINVAL));
    let op = VersionOp::BuildId.number();
    match hypercall!(Version, op, 0u64) {
        // None was built in.
        Err(Errno::ENODATA) => {}
        Ok(len) => {
            let mut id = [0u8; 128];
            assert!(len > 0 && len < 120, "{len} bytes");
            id[..4].copy_from_slice(&(len as u32).to_le_bytes());
            assert_eq!(hypercall!(Version, op, &mut id), Ok(len));
            assert!(id[4..][..len as usize].iter().any(|&byte| byte != 0));
            let mut small = BuildId {
                len: len as u32 - 1,
            };
            assert_eq!(hypercall!(Version, op, &mut small), Err(Errno::ENOBUFS));
        }
        Err(errno) => panic!("the build identifier: {errno:?}"),
    }
}
