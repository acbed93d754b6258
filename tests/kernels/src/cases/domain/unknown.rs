//! Operations that do not exist, or not here.

use super::super::prelude::*;
use crate::control::{Guest, sysctl};
use guest_abi::domctl::Domctl;
use guest_abi::payload::Payload;
use guest_abi::sysctl::{Sysctl, SysctlOp};

pub(crate) fn run() {
    let guest = Guest::empty(1);
    let domctl = |cmd: u32| {
        let mut wish = Domctl::new_zeroed();
        wish.cmd = cmd;
        wish.interface_version = guest_abi::domctl::INTERFACE_VERSION;
        wish.domain = guest.id;
        hypercall!(Domctl, &mut wish)
    };
    for cmd in [
        0,
        6,
        7,
        8,
        26,
        44,
        53,
        56,
        57,
        65,
        71,
        81,
        200,
        1000,
        1003,
        u32::MAX,
    ] {
        assert_eq!(domctl(cmd), Err(Errno::ENOSYS), "domctl {cmd}");
    }
    // What is for domains of another kind, or for machines with more in them.
    for cmd in [23, 33, 34, 38, 39, 48, 54, 55, 66, 67, 74, 79, 84] {
        assert_eq!(domctl(cmd), Err(Errno::EINVAL), "domctl {cmd}");
    }
    for cmd in [37, 40, 45, 46, 47, 50, 77, 85, 86] {
        assert_eq!(domctl(cmd), Err(Errno::EOPNOTSUPP), "domctl {cmd}");
    }
    for cmd in [75, 78] {
        assert_eq!(domctl(cmd), Err(Errno::ENODEV), "domctl {cmd}");
    }
    let control = |cmd: u32| {
        let mut wish = Sysctl::new_zeroed();
        wish.cmd = cmd;
        wish.interface_version = guest_abi::sysctl::INTERFACE_VERSION;
        hypercall!(Sysctl, &mut wish)
    };
    for cmd in [0, 13, 24, 28, 99, u32::MAX] {
        assert_eq!(control(cmd), Err(Errno::ENOSYS), "sysctl {cmd}");
    }
    for (cmd, errno) in [
        (5, Errno::ENOSYS),
        (10, Errno::ENODEV),
        (12, Errno::ENOSYS),
        (15, Errno::ENOSYS),
        (18, Errno::ENOSYS),
        (19, Errno::EINVAL),
        (20, Errno::EOPNOTSUPP),
        (21, Errno::ENODEV),
        (22, Errno::EINVAL),
        (23, Errno::ENODEV),
    ] {
        assert_eq!(control(cmd), Err(errno), "sysctl {cmd}");
    }
    let mut wish = Sysctl::new_zeroed();
    wish.cmd = SysctlOp::PhysInfo.number();
    assert_eq!(hypercall!(Sysctl, &mut wish), Err(Errno::EACCES));
    assert_eq!(hypercall!(Sysctl, 0x1000u64), Err(Errno::EFAULT));
    let mut content = Payload::ZERO;
    assert_eq!(sysctl(SysctlOp::PhysInfo, &mut content), Ok(0));
    guest.end();
}
