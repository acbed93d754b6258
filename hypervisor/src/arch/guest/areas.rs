//! Areas that a guest names by addresses of its kernel: a vCPU's account of its time, and a second copy of its
//! clock.
//!
//! They can be written only while the kernel's page tables of that vCPU are in use, by the processor that runs
//! it. In user mode the context remembers that they are out of date, and the switch to the kernel writes them.
//! An area that can't be written keeps what it had: that is the guest's own doing.

use super::access;
use super::running::Guest;
use crate::domain::{Domain, Vcpu};
use crate::time::guest_clock::{AreaFault, VersionedArea};
use crate::time::runstate::RunstateArea;
use core::mem::{offset_of, size_of};
use guest_abi::ids::Vaddr;
use guest_abi::time::{RunstateInfo, VcpuTimeInfo};
use guest_abi::vm_assist::VmAssist;
use zerocopy::IntoBytes;

/// An area, by the address that the guest has given.
struct Area(Vaddr);

impl Area {
    fn write(&self, offset: usize, bytes: &[u8]) -> Result<(), AreaFault> {
        let at = self.0.0.checked_add(offset as u64).ok_or(AreaFault)?;
        access::write_bytes(Vaddr(at), bytes).map_err(|_| AreaFault)
    }
}

impl RunstateArea for Area {
    fn store_entry_time(&self, entry_time: u64) -> Result<(), AreaFault> {
        self.write(
            offset_of!(RunstateInfo, state_entry_time),
            entry_time.as_bytes(),
        )
    }

    fn store_all(&self, info: &RunstateInfo) -> Result<(), AreaFault> {
        self.write(0, info.as_bytes())
    }
}

impl VersionedArea<VcpuTimeInfo> for Area {
    fn store_version(&self, version: u32) -> Result<(), AreaFault> {
        self.write(offset_of!(VcpuTimeInfo, version), version.as_bytes())
    }

    fn store_body(&self, time: &VcpuTimeInfo) -> Result<(), AreaFault> {
        let after = size_of::<u32>();
        let bytes = time.as_bytes().get(after..).unwrap_or(&[]);
        self.write(offset_of!(VcpuTimeInfo, version) + after, bytes)
    }
}

/// Writes a vCPU's account to its area, if it has one. The kernel's page tables of its domain are in use.
pub(crate) fn publish_runstate(domain: &Domain, vcpu: &Vcpu) {
    if let Some(at) = vcpu.runstate_area() {
        let has_update_flag = domain.has_assist(VmAssist::RunstateUpdateFlag);
        // An unmapped area is the guest's loss.
        let _ = vcpu.runstate().publish(&Area(at), has_update_flag);
    }
}

/// Writes a vCPU's clock to its second area, as [`publish_runstate`].
pub(crate) fn publish_clock(vcpu: &Vcpu) {
    if let Some(at) = vcpu.clock_area() {
        let _ = vcpu.publish_clock_to(&Area(at));
    }
}

/// The kernel's page tables have just come into use, and areas are out of date.
#[cold]
pub(in crate::arch) fn catch_up(guest: &mut Guest<'_>) {
    guest.context.is_area_due = false;
    publish_runstate(guest.domain, guest.vcpu);
    publish_clock(guest.vcpu);
}
