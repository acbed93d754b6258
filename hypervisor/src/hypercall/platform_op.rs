//! What the first domain asks of the machine itself.

#![forbid(unsafe_code)]

use super::{Answer, read};
use crate::arch::guest::running::Guest;
use crate::arch::wall_clock;
use guest_abi::errno::Errno;
use guest_abi::platform::{INTERFACE_VERSION, PlatformOp, PlatformOperation, SetTime32, SetTime64};

pub(super) fn platform_op(guest: &Guest<'_>, argument: u64) -> Answer {
    let operation: PlatformOperation = read(argument)?;
    if operation.interface_version != INTERFACE_VERSION {
        return Err(Errno::EACCES);
    }
    if !guest.domain.is_hardware_domain() {
        return Err(Errno::EPERM);
    }
    match PlatformOp::try_from(operation.cmd).map_err(|_| Errno::ENOSYS)? {
        PlatformOp::SetTime64 => {
            let time: SetTime64 = operation.u.read();
            if time.mbz != 0 {
                return Err(Errno::EINVAL);
            }
            wall_clock::set(time.secs, time.nsecs, time.system_time);
        }
        PlatformOp::SetTime32 => {
            let time: SetTime32 = operation.u.read();
            wall_clock::set(u64::from(time.secs), time.nsecs, time.system_time);
        }
        _ => return Err(Errno::ENOSYS),
    }
    Ok(0)
}
