//! Interrupts, I/O privilege and PCI devices.

#![forbid(unsafe_code)]

mod devices;
mod interrupts;

use super::{Answer, admit, read};
use crate::arch::guest::running::Guest;
use crate::control::privilege;
use crate::cpu_policy::iopl::Iopl;
use guest_abi::errno::Errno;
use guest_abi::physdev::{MAX_IO_PORTS, PhysdevOp, SetIobitmap, SetIopl};

pub(super) fn physdev_op(guest: &mut Guest<'_>, operation: u64, argument: u64) -> Answer {
    // The reference takes the operation as 32 bits.
    let operation = PhysdevOp::try_from(operation as u32).map_err(|_| Errno::ENOSYS)?;
    admit(guest, privilege::physdev(operation))?;
    let domain = &**guest.domain;
    match operation {
        PhysdevOp::SetIopl => {
            let wish: SetIopl = read(argument)?;
            guest.context.iopl = Iopl::new(wish.iopl).ok_or(Errno::EINVAL)?;
        }
        PhysdevOp::SetIobitmap => {
            let wish: SetIobitmap = read(argument)?;
            if wish.nr_ports > MAX_IO_PORTS {
                return Err(Errno::EINVAL);
            }
            guest.context.io_bitmap = (wish.bitmap, wish.nr_ports);
        }
        PhysdevOp::Eoi => interrupts::end(domain, argument)?,
        PhysdevOp::IrqStatusQuery => interrupts::status(domain, argument)?,
        PhysdevOp::PirqEoiGmfnV2 => interrupts::show_in(domain, argument)?,
        PhysdevOp::ApicRead => interrupts::read_io_apic(argument)?,
        PhysdevOp::AllocIrqVector => interrupts::allocate_vector(argument)?,
        PhysdevOp::MapPirq => interrupts::map(guest, argument)?,
        PhysdevOp::UnmapPirq => interrupts::unmap(guest, argument)?,
        PhysdevOp::SetupGsi => interrupts::set_up_line(argument)?,
        PhysdevOp::GetFreePirq => interrupts::reserve(domain, argument)?,
        PhysdevOp::ManagePciAdd | PhysdevOp::ManagePciAddExt | PhysdevOp::PciDeviceAdd => {
            devices::add(operation, argument)?
        }
        PhysdevOp::ManagePciRemove | PhysdevOp::PciDeviceRemove => {
            devices::remove(operation, argument)?;
        }
        PhysdevOp::RestoreMsi | PhysdevOp::RestoreMsiExt => {
            devices::restore_messages(operation, argument)?;
        }
        PhysdevOp::PrepareMsix | PhysdevOp::ReleaseMsix => devices::check_msix(argument)?,
        PhysdevOp::PciMmcfgReserved => devices::note_memory_space(argument)?,
        PhysdevOp::DebugPortOp => devices::debug_port(argument)?,
        // Writing to IO-APICs is what interrupts are mapped and set up for; the others are older than any kernel
        // that runs here.
        PhysdevOp::ApicWrite
        | PhysdevOp::IrqUnmaskNotify
        | PhysdevOp::PirqEoiGmfnV1
        | PhysdevOp::FreeIrqVector => return Err(Errno::ENOSYS),
    }
    Ok(0)
}
