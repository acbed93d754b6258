//! What a destroyed domain held is booked as given back while somebody still maps one of its frames: the audit at the end of
//! this kernel finds nothing.

use super::call_list::{List, maker_of_calls};
use crate::control::{FRAMES, Guest};
use guest_abi::domctl_domain::DomainInfoFlags;
use guest_abi::grant_op::GrantTableOp;
use guest_abi::hypercall::Hypercall;
use guest_abi::physdev::PhysdevOp;
use guest_abi::vcpu_op::VcpuOp;

/// Frames of the guest's that it has the hypervisor write to.
const INTERRUPTS: usize = FRAMES - 1;
const VCPU_INFO: usize = FRAMES - 2;

pub(crate) fn run() {
    let guest = Guest::with_code(maker_of_calls());
    let mut list = List::new(&guest);
    let op = u64::from(PhysdevOp::PirqEoiGmfnV2.number());
    let arguments = [op, list.content_at(), 0, 0];
    let content = [guest.frames[INTERRUPTS]];
    list.add(Hypercall::PhysdevOp, arguments, &content, op, 0);
    let op = u64::from(VcpuOp::RegisterVcpuInfo.number());
    let arguments = [op, 0, list.content_at(), 0];
    let content = [guest.frames[VCPU_INFO], 64];
    list.add(Hypercall::VcpuOp, arguments, &content, op, 0);
    let op = u64::from(GrantTableOp::SetupTable.number());
    let arguments = [op, list.content_at(), 1, 0];
    let content = [u64::from(guest.id.0) | 1 << 32, 0, list.content_at() + 24];
    list.add(Hypercall::GrantTableOp, arguments, &content, op, 0);
    assert_eq!(list.run(|_, _| false), 0, "wrong answers");
    // All its frames stay mapped here.
    guest.destroy();
    assert!(guest.info().flags.contains(DomainInfoFlags::DYING));
}
