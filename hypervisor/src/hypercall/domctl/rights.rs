//! Rights to devices. Only the first domain has some; taking from others what they don't have succeeds.

#![forbid(unsafe_code)]

use super::{Answer, Done};
use guest_abi::domctl::Domctl;
use guest_abi::domctl_device::{IomemPermission, IoportPermission, IrqPermission};
use guest_abi::errno::Errno;

/// Ports there are.
const PORTS: u32 = 1 << 16;

fn change(allow: u8) -> Answer {
    match allow {
        0 => Ok(Done::Quietly),
        _ => Err(Errno::EOPNOTSUPP),
    }
}

pub(super) fn interrupt(wish: &Domctl) -> Answer {
    let IrqPermission {
        pirq, allow_access, ..
    } = wish.u.read();
    if pirq >= crate::arch::irq::nr_gsis() + crate::arch::irq::MAX_MESSAGES as u32 {
        return Err(Errno::EINVAL);
    }
    change(allow_access)
}

pub(super) fn memory(wish: &Domctl) -> Answer {
    let wish: IomemPermission = wish.u.read();
    let last = wish.first_mfn.wrapping_add(wish.nr_mfns).wrapping_sub(1);
    if last < wish.first_mfn {
        return Err(Errno::EINVAL);
    }
    change(wish.allow_access)
}

pub(super) fn ports(wish: &Domctl) -> Answer {
    let wish: IoportPermission = wish.u.read();
    match wish.first_port.checked_add(wish.nr_ports) {
        Some(end) if end > wish.first_port && end <= PORTS => change(wish.allow_access),
        _ => Err(Errno::EINVAL),
    }
}
