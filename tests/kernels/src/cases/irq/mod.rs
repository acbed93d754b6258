//! Interrupts of devices.

pub(crate) mod edge;
pub(crate) mod eoi_frame;
pub(crate) mod io_apic;
pub(crate) mod level;
pub(crate) mod level_held;
pub(crate) mod msi;
pub(crate) mod msix;
pub(crate) mod numbers;
pub(crate) mod own_lines;
pub(crate) mod pci_devices;
pub(crate) mod ports;
pub(crate) mod storm;
pub(crate) mod untold;

use super::prelude::*;
use crate::pci::{Device, Registers};
use crate::pirq;
use core::hint::spin_loop;
use core::sync::atomic::{AtomicBool, Ordering};
use guest_abi::sched_op::SchedOp;
use guest_abi::vcpu_op::VcpuOp;

static IS_OVER: AtomicBool = AtomicBool::new(false);

/// A vCPU that does nothing but take interrupts.
fn take_interrupts(_: VcpuId) {
    while !IS_OVER.load(Ordering::SeqCst) {
        event::mask_upcalls();
        let _ = hypercall!(SchedOp, SchedOp::Block.number());
    }
}

/// Starts all other vCPUs, each of which takes interrupts. Returns how many there are with the first.
fn start_others() -> u32 {
    let count = smp::nr_vcpus();
    for vcpu in 1..count {
        smp::start(VcpuId(vcpu), take_interrupts);
    }
    event::unmask_upcalls();
    count
}

/// Ends what [`start_others`] began.
fn stop_others(count: u32) {
    IS_OVER.store(true, Ordering::SeqCst);
    for vcpu in (1..count).map(VcpuId) {
        let port = event::bind_ipi(vcpu);
        assert_eq!(event::send(port), Ok(0));
        smp::wait_until("the others are down", || {
            smp::operate_plain(VcpuOp::IsUp, vcpu) == Ok(0)
        });
    }
}

/// QEMU's device for teaching: it interrupts when it is told to.
struct Edu {
    device: Device,
    registers: Registers,
}

impl Edu {
    const IDENTITY: u64 = 0x00;
    const STATUS: u64 = 0x24;
    const RAISE: u64 = 0x60;
    const ACKNOWLEDGE: u64 = 0x64;

    /// Finds it, skipping the case where it is not.
    fn find() -> Self {
        let device = Device::find(0x1234, 0x11e8);
        device.enable();
        pirq::announce(device);
        let tables = memory::Tables::hook(memory::SPARE);
        let registers = Registers::map(&tables, device.region(0), 1);
        assert_eq!(registers.read(Self::IDENTITY) & 0xff, 0xed);
        Self { device, registers }
    }

    fn raise(&self) {
        self.registers.write(Self::RAISE, 1);
    }

    fn acknowledge(&self) {
        self.registers.write(Self::ACKNOWLEDGE, 1);
        assert_eq!(self.registers.read(Self::STATUS), 0);
    }
}
