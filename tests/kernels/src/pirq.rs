//! Physical interrupts: their numbers, their lines and their ends.

use crate::event;
use crate::hypercall::{Outcome, hypercall};
use crate::pci::Device;
use guest_abi::errno::Errno;
use guest_abi::event_channel::{BindPirq, BindPirqFlags, EventChannelOp};
use guest_abi::ids::{DomId, Port, VcpuId};
use guest_abi::physdev::{Eoi, MapPirq, MapPirqType, PciDeviceAdd, PhysdevOp, SetupGsi, UnmapPirq};
use zerocopy::FromZeros;

/// `physdev_op` by its argument.
pub(crate) fn operate<T>(op: PhysdevOp, argument: &mut T) -> Outcome {
    hypercall!(PhysdevOp, op.number(), argument)
}

/// Maps something; its number.
pub(crate) fn map(wish: &mut MapPirq) -> Result<i32, Errno> {
    operate(PhysdevOp::MapPirq, wish)?;
    Ok(wish.pirq)
}

/// What is asked for to map a line.
pub(crate) fn line(gsi: i32, pirq: i32) -> MapPirq {
    let mut wish = MapPirq::new_zeroed();
    wish.domid = DomId::SELF;
    wish.map_type = MapPirqType::Gsi as i32;
    wish.index = gsi;
    wish.pirq = pirq;
    wish
}

/// What is asked for to map a message of a device. `table` is the region of its table and the entry.
pub(crate) fn message(device: Device, table: Option<(u64, i32)>) -> MapPirq {
    let mut wish = MapPirq::new_zeroed();
    wish.domid = DomId::SELF;
    wish.map_type = MapPirqType::MsiSeg as i32;
    wish.index = -1;
    wish.pirq = -1;
    wish.devfn = i32::from(device.devfn());
    if let Some((base, entry)) = table {
        wish.table_base = base;
        wish.entry_nr = entry;
    }
    wish
}

/// Announces a device, as kernels do before they map its messages.
pub(crate) fn announce(device: Device) {
    let mut wish = PciDeviceAdd::new_zeroed();
    wish.devfn = device.devfn();
    assert_eq!(operate(PhysdevOp::PciDeviceAdd, &mut wish), Ok(0));
}

/// Unmaps a number.
pub(crate) fn unmap(pirq: i32) -> Outcome {
    let mut wish = UnmapPirq::new_zeroed();
    wish.domid = DomId::SELF;
    wish.pirq = pirq;
    operate(PhysdevOp::UnmapPirq, &mut wish)
}

/// Says how a line signals.
pub(crate) fn set_up(gsi: i32, triggering: u8, polarity: u8) -> Outcome {
    let mut wish = SetupGsi::new_zeroed();
    (wish.gsi, wish.triggering, wish.polarity) = (gsi, triggering, polarity);
    operate(PhysdevOp::SetupGsi, &mut wish)
}

/// Ends an interrupt.
pub(crate) fn end(pirq: u32) -> Outcome {
    operate(PhysdevOp::Eoi, &mut Eoi { irq: pirq })
}

/// Binds an interrupt to a port.
pub(crate) fn bind(pirq: u32, flags: BindPirqFlags) -> Result<Port, Errno> {
    let mut wish = BindPirq {
        pirq,
        flags,
        port: Port(0),
    };
    event::operate(EventChannelOp::BindPirq, &mut wish)?;
    Ok(wish.port)
}

/// Moves a port's events to a vCPU. Masked meanwhile, as Linux has it: an event between the move and the handlers' hearing
/// of it would call a vCPU that leaves it to the other one.
pub(crate) fn move_to(port: Port, vcpu: VcpuId) {
    event::mask(port);
    assert_eq!(event::bind_vcpu(port, vcpu), Ok(0));
    assert_eq!(event::unmask(port), Ok(0));
}
