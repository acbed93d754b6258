//! Interrupts, I/O privilege and PCI devices.
//!
//! A domain's own interrupts and I/O privilege are its own business; everything else here is about the machine, and one
//! check ([`is_of_machine`]) keeps all domains but the hardware domain from it.

#![forbid(unsafe_code)]

mod devices;
mod interrupts;

use super::{Answer, read};
use crate::arch::guest::running::Guest;
use crate::cpu_policy::iopl::Iopl;
use guest_abi::errno::Errno;
use guest_abi::physdev::{MAX_IO_PORTS, PhysdevOp, SetIobitmap, SetIopl};

/// Whether an operation is about the machine's devices.
const fn is_of_machine(operation: PhysdevOp) -> bool {
    match operation {
        PhysdevOp::SetIopl
        | PhysdevOp::SetIobitmap
        | PhysdevOp::Eoi
        | PhysdevOp::IrqStatusQuery
        | PhysdevOp::IrqUnmaskNotify
        | PhysdevOp::PirqEoiGmfnV1
        | PhysdevOp::PirqEoiGmfnV2
        | PhysdevOp::FreeIrqVector => false,
        PhysdevOp::ApicRead
        | PhysdevOp::GetFreePirq
        | PhysdevOp::ApicWrite
        | PhysdevOp::AllocIrqVector
        | PhysdevOp::MapPirq
        | PhysdevOp::UnmapPirq
        | PhysdevOp::SetupGsi
        | PhysdevOp::ManagePciAdd
        | PhysdevOp::ManagePciRemove
        | PhysdevOp::ManagePciAddExt
        | PhysdevOp::RestoreMsi
        | PhysdevOp::RestoreMsiExt
        | PhysdevOp::PciMmcfgReserved
        | PhysdevOp::PciDeviceAdd
        | PhysdevOp::PciDeviceRemove
        | PhysdevOp::DebugPortOp
        | PhysdevOp::PrepareMsix
        | PhysdevOp::ReleaseMsix => true,
    }
}

pub(super) fn physdev_op(guest: &mut Guest<'_>, operation: u64, argument: u64) -> Answer {
    // The reference takes the operation as 32 bits.
    let operation = PhysdevOp::try_from(operation as u32).map_err(|_| Errno::ENOSYS)?;
    if is_of_machine(operation) && !guest.domain.is_hardware_domain() {
        return Err(Errno::EPERM);
    }
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
