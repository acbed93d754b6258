//! What makes no domain, and what no domain can be given.

use super::super::prelude::*;
use crate::control::{self, Guest, control as operate, ordinary, simple};
use guest_abi::domctl::{Domctl, DomctlOp};
use guest_abi::domctl_domain::{CreateDomain, CreateFlags, EmulationFlags};
use guest_abi::domctl_memory::{AddressSize, HypercallInit};
use guest_abi::domctl_vcpu::MaxVcpus;
use guest_abi::payload::Payload;

pub(crate) fn run() {
    // An argument that can't be read, a wrong version, a domain that is not there.
    assert_eq!(hypercall!(Domctl, 0x1000u64), Err(Errno::EFAULT));
    let mut wish = Domctl::new_zeroed();
    wish.cmd = DomctlOp::PauseDomain.number();
    wish.domain = DomId(77);
    assert_eq!(hypercall!(Domctl, &mut wish), Err(Errno::EACCES));
    wish.interface_version = guest_abi::domctl::INTERFACE_VERSION;
    assert_eq!(hypercall!(Domctl, &mut wish), Err(Errno::ESRCH));

    type Case = (fn(&mut CreateDomain), Errno);
    let refused: [Case; 10] = [
        (|wish| wish.flags = CreateFlags::HAP, Errno::EINVAL),
        (|wish| wish.flags = CreateFlags::IOMMU, Errno::EINVAL),
        (
            |wish| wish.flags = CreateFlags::from_bits_retain(1 << 31),
            Errno::EINVAL,
        ),
        (|wish| wish.max_vcpus = 0, Errno::EINVAL),
        (|wish| wish.max_vcpus = 8193, Errno::EINVAL),
        (|wish| wish.grant_opts = 0x11, Errno::EINVAL),
        (|wish| wish.max_grant_frames = 1 << 20, Errno::EINVAL),
        (|wish| wish.max_maptrack_frames = 1 << 20, Errno::EINVAL),
        (
            |wish| wish.arch.emulation_flags = EmulationFlags::LAPIC,
            Errno::EOPNOTSUPP,
        ),
        (|wish| wish.cpupool_id = 5, Errno::ESRCH),
    ];
    for (index, (spoil, errno)) in refused.into_iter().enumerate() {
        let mut wish = ordinary(1);
        spoil(&mut wish);
        assert_eq!(control::create(&wish), Err(errno), "wish {index}");
    }

    // A number of one's own choice, which only one can have.
    let mut content = Payload::of(&ordinary(2));
    let (outcome, id) = control::domctl(DomctlOp::CreateDomain, DomId(1234), &mut content);
    assert_eq!((outcome, id), (Ok(0), DomId(1234)));
    let mut content = Payload::of(&ordinary(2));
    let (outcome, _) = control::domctl(DomctlOp::CreateDomain, DomId(1234), &mut content);
    assert_eq!(outcome, Err(Errno::EEXIST));
    for max in [0, 1, 3] {
        let outcome = operate(DomctlOp::MaxVcpus, id, &MaxVcpus { max });
        assert_eq!(outcome, Err(Errno::EINVAL), "{max} vCPUs");
    }
    assert_eq!(operate(DomctlOp::MaxVcpus, id, &MaxVcpus { max: 2 }), Ok(0));
    assert_eq!(operate(DomctlOp::MaxVcpus, id, &MaxVcpus { max: 2 }), Ok(0));
    for (size, expected) in [(64, Ok(0)), (16, Err(Errno::EINVAL))] {
        let outcome = operate(DomctlOp::SetAddressSize, id, &AddressSize { size });
        assert_eq!(outcome, expected, "addresses of {size} bits");
    }
    let outcome = operate(DomctlOp::HypercallInit, id, &HypercallInit { gmfn: 1 });
    assert_eq!(outcome, Err(Errno::EINVAL));
    // It has no memory to be had: none may be given.
    let mut list = [0];
    assert_eq!(control::populate(id, &mut list), Ok(0));
    assert_eq!(simple(DomctlOp::DestroyDomain, id), Ok(0));
    assert!(!control::exists(id));

    // Nobody does to himself what needs another.
    for op in [
        DomctlOp::DestroyDomain,
        DomctlOp::PauseDomain,
        DomctlOp::ResumeDomain,
        DomctlOp::MaxVcpus,
        DomctlOp::SetVcpuContext,
    ] {
        assert_eq!(simple(op, DomId(0)), Err(Errno::EINVAL), "{op:?}");
    }
    assert_eq!(
        simple(DomctlOp::PauseDomain, DomId::SELF),
        Err(Errno::ESRCH)
    );

    // More memory than it may have is not given.
    let guest = Guest::empty(1);
    let mut list = [99];
    assert_eq!(control::populate(guest.id, &mut list), Ok(0));
    guest.end();
}
