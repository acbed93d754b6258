//! The hardware domain's vCPU can have itself run on one processor for a while, and ask which that is.

use super::super::prelude::*;
use guest_abi::platform::{CpuInfo, PlatformOp, PlatformOperation};
use guest_abi::sched_op::SchedOp;
use guest_abi::vcpu_op::{GetPhysid, VcpuOp};

/// The number of the local APIC of this vCPU's processor, and the one in ACPI.
fn physical_number() -> Result<(u32, u32), Errno> {
    let mut number = GetPhysid { phys_id: u64::MAX };
    hypercall!(VcpuOp, VcpuOp::GetPhysid.number(), 0u64, &mut number)?;
    let phys_id = core::hint::black_box(&number).phys_id;
    Ok((phys_id as u32, (phys_id >> 32) as u32))
}

/// What processor 0 is.
fn first_processor() -> CpuInfo {
    let mut operation = PlatformOperation::new_zeroed();
    operation.cmd = PlatformOp::GetCpuInfo.number();
    operation.interface_version = guest_abi::platform::INTERFACE_VERSION;
    assert_eq!(hypercall!(PlatformOp, &mut operation), Ok(0));
    operation.u.read()
}

pub(crate) fn run() {
    let first = first_processor();
    if first.max_present != 0 {
        assert_eq!(physical_number(), Err(Errno::EINVAL), "it may move");
    }
    assert_eq!(
        smp::pin_override(-1),
        Err(Errno::EINVAL),
        "there is nothing to undo"
    );
    assert_eq!(smp::pin_override(100), Err(Errno::EINVAL));
    assert_eq!(smp::pin_override(0), Ok(0));
    assert_eq!(physical_number(), Ok((first.apic_id, first.acpi_id)));
    let nowhere = hypercall!(VcpuOp, VcpuOp::GetPhysid.number(), 0u64, 0x1000u64);
    assert_eq!(nowhere, Err(Errno::EFAULT));
    for _ in 0..10 {
        let _ = hypercall!(SchedOp, SchedOp::Yield.number());
    }
    assert_eq!(smp::pin_override(0), Err(Errno::EBUSY), "once at a time");
    assert_eq!(smp::pin_override(-1), Ok(0));
    assert_eq!(smp::pin_override(-1), Err(Errno::EINVAL));
    assert_eq!(smp::pin_override(0), Ok(0));
    assert_eq!(smp::pin_override(-5), Ok(0));
}
