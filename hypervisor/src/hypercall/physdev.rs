//! Interrupts, I/O privilege and PCI devices: so far, I/O privilege.

#![forbid(unsafe_code)]

use super::{Answer, read};
use crate::arch::guest::running::Guest;
use crate::cpu_policy::iopl::Iopl;
use guest_abi::errno::Errno;
use guest_abi::physdev::{PhysdevOp, SetIobitmap, SetIopl};

/// Ports that there are.
const MAX_PORTS: u32 = 65536;

pub(super) fn physdev_op(guest: &mut Guest<'_>, operation: u64, argument: u64) -> Answer {
    let operation = u32::try_from(operation)
        .ok()
        .and_then(|op| PhysdevOp::try_from(op).ok())
        .ok_or(Errno::ENOSYS)?;
    match operation {
        PhysdevOp::SetIopl => {
            let wish: SetIopl = read(argument)?;
            guest.context.iopl = Iopl::new(wish.iopl).ok_or(Errno::EINVAL)?;
        }
        PhysdevOp::SetIobitmap => {
            let wish: SetIobitmap = read(argument)?;
            if wish.nr_ports > MAX_PORTS {
                return Err(Errno::EINVAL);
            }
            guest.context.io_bitmap = (wish.bitmap, wish.nr_ports);
        }
        _ => return Err(Errno::ENOSYS),
    }
    Ok(0)
}
