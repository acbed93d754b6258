//! What the hardware domain tells about PCI devices.

use super::super::read;
use crate::arch::msi_map;
use crate::arch::pci;
use crate::pci::Function;
use guest_abi::errno::Errno;
use guest_abi::physdev::{
    DebugPort, ManagePci, ManagePciExt, PciDevice, PciDeviceAdd, PciMmcfgReserved, PhysdevOp,
};

const fn in_segment_0(bus: u8, devfn: u8) -> Function {
    Function {
        segment: 0,
        bus,
        devfn,
    }
}

const fn of(device: &PciDevice) -> Function {
    Function {
        segment: device.seg,
        bus: device.bus,
        devfn: device.devfn,
    }
}

/// A device is there.
pub(super) fn add(operation: PhysdevOp, argument: u64) -> Result<(), Errno> {
    let function = match operation {
        PhysdevOp::ManagePciAdd => {
            let wish: ManagePci = read(argument)?;
            in_segment_0(wish.bus, wish.devfn)
        }
        PhysdevOp::ManagePciAddExt => {
            let wish: ManagePciExt = read(argument)?;
            if wish.is_extfn > 1 || wish.is_virtfn > 1 {
                return Err(Errno::EINVAL);
            }
            in_segment_0(wish.bus, wish.devfn)
        }
        _ => {
            let wish: PciDeviceAdd = read(argument)?;
            Function {
                segment: wish.seg,
                bus: wish.bus,
                devfn: wish.devfn,
            }
        }
    };
    if msi_map::DEVICES.add(function) {
        Ok(())
    } else {
        Err(Errno::ENOMEM)
    }
}

/// A device has gone.
pub(super) fn remove(operation: PhysdevOp, argument: u64) -> Result<(), Errno> {
    let function = device(operation == PhysdevOp::ManagePciRemove, argument)?;
    if msi_map::remove(function) {
        Ok(())
    } else {
        Err(Errno::ENODEV)
    }
}

/// A device's messages must be programmed again.
pub(super) fn restore_messages(operation: PhysdevOp, argument: u64) -> Result<(), Errno> {
    let function = device(operation == PhysdevOp::RestoreMsi, argument)?;
    if msi_map::restore(function) {
        Ok(())
    } else {
        Err(Errno::ENODEV)
    }
}

/// The function that an argument of the old or of the new form names.
fn device(is_old_form: bool, argument: u64) -> Result<Function, Errno> {
    if is_old_form {
        let wish: ManagePci = read(argument)?;
        Ok(in_segment_0(wish.bus, wish.devfn))
    } else {
        Ok(of(&read(argument)?))
    }
}

/// A device's table of messages is given to another domain, or comes back. Nothing is to be done: messages are the
/// hypervisor's whoever has the device.
pub(super) fn check_msix(argument: u64) -> Result<(), Errno> {
    let function = of(&read(argument)?);
    if msi_map::DEVICES.contains(function) && msi_map::has_table(function) {
        Ok(())
    } else {
        Err(Errno::ENODEV)
    }
}

/// The firmware says that a range of configuration space in memory is, or is not, reserved for it.
pub(super) fn note_memory_space(argument: u64) -> Result<(), Errno> {
    let wish: PciMmcfgReserved = read(argument)?;
    let buses = (wish.start_bus, wish.end_bus);
    match pci::memory_space(wish.segment, buses) {
        Some(base) if base == wish.address => Ok(()),
        Some(_) => Err(Errno::EIO),
        None => Err(Errno::ENODEV),
    }
}

/// A controller with a debug port is reset: it is never the hypervisor's console.
pub(super) fn debug_port(argument: u64) -> Result<(), Errno> {
    let _: DebugPort = read(argument)?;
    Ok(())
}
