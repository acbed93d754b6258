//! A virtual interrupt is bound once, for the whole domain or for each vCPU.

use super::super::prelude::*;
use guest_abi::event_channel::{BindVirq, ChannelStatus, EventChannelOp, Virq};

fn bind(virq: u32, vcpu: u32) -> Result<Port, Errno> {
    let mut bind = BindVirq {
        virq,
        vcpu: VcpuId(vcpu),
        port: Port(0),
    };
    event::operate(EventChannelOp::BindVirq, &mut bind).map(|_| bind.port)
}

pub(crate) fn run() {
    smp::need(2);
    let last = smp::nr_vcpus();
    for virq in [Virq::Timer, Virq::Debug] {
        let ports: [Port; 2] =
            core::array::from_fn(|vcpu| bind(virq.number(), vcpu as u32).unwrap());
        assert_ne!(ports[0], ports[1], "each vCPU has its own");
        for (vcpu, port) in (0u32..).zip(ports) {
            assert_eq!(bind(virq.number(), vcpu), Err(Errno::EEXIST), "{virq:?}");
            let state = event::status(port).unwrap();
            assert_eq!(state.status, ChannelStatus::Virq.number());
            assert_eq!(
                (state.vcpu, state.interrupt()),
                (VcpuId(vcpu), virq.number())
            );
        }
        assert_eq!(bind(virq.number(), last), Err(Errno::ENOENT));
    }
    for virq in [Virq::DomainException, Virq::PcpuState] {
        assert_eq!(bind(virq.number(), 1), Err(Errno::EINVAL), "{virq:?}");
        let port = bind(virq.number(), 0).unwrap();
        assert_eq!(bind(virq.number(), 0), Err(Errno::EEXIST), "{virq:?}");
        assert_eq!(event::close(port), Ok(0));
        assert_eq!(bind(virq.number(), 0), Ok(port), "free again");
    }
    for virq in [24, 1000, u32::MAX] {
        assert_eq!(bind(virq, 0), Err(Errno::EINVAL), "{virq}");
    }
}
