//! Physical interrupts: their numbers, their lines, and their ends.

use super::super::{read, write};
use crate::arch::guest::running::Guest;
use crate::arch::irq::{self, lines};
use crate::arch::memory::{self, mm};
use crate::arch::msi_map::{self, MessageError, Wanted};
use crate::domain::{Domain, Domains};
use crate::irq::{IrqError, Pirq, Polarity, Signal, Trigger};
use crate::pci::Function;
use alloc::sync::Arc;
use guest_abi::errno::Errno;
use guest_abi::ids::{DomId, VcpuId};
use guest_abi::physdev::{
    Apic, Eoi, GetFreePirq, IrqStatus, IrqStatusQuery, IrqVector, MapPirq, MapPirqType,
    PirqEoiGmfn, SetupGsi, UnmapPirq,
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

impl From<IrqError> for Errno {
    fn from(error: IrqError) -> Self {
        match error {
            IrqError::Invalid => Self::EINVAL,
            IrqError::Busy => Self::EBUSY,
            IrqError::InUse => Self::EEXIST,
            IrqError::NoRoom => Self::ENOSPC,
        }
    }
}

impl From<MessageError> for Errno {
    fn from(error: MessageError) -> Self {
        match error {
            MessageError::NoDevice => Self::ENODEV,
            MessageError::NoEntry => Self::EINVAL,
            MessageError::NoTable => Self::ENXIO,
            MessageError::InUse => Self::EEXIST,
            MessageError::NoRoom => Self::ENOSPC,
        }
    }
}

/// The domain is done with an interrupt.
pub(super) fn end(domain: &Domain, argument: u64) -> Result<(), Errno> {
    let wish: Eoi = read(argument)?;
    if domain.pirqs.numbers.get(wish.irq).is_none() {
        return Err(Errno::EINVAL);
    }
    domain.end_interrupt(wish.irq);
    Ok(())
}

/// How an interrupt is to be handled. A domain that has no frame with bits can't learn when an interrupt's handling changes, so it ends
/// all of them.
pub(super) fn status(domain: &Domain, argument: u64) -> Result<(), Errno> {
    let mut query: IrqStatusQuery = read(argument)?;
    if query.irq >= domain.pirqs.numbers.limit() {
        return Err(Errno::EINVAL);
    }
    query.flags = IrqStatus::NEEDS_EOI;
    write(argument, &query)
}

/// Shows in a frame of the domain's own which interrupts it must end.
pub(super) fn show_in(domain: &Domain, argument: u64) -> Result<(), Errno> {
    let wish: PirqEoiGmfn = read(argument)?;
    let id = domain.id();
    let frame = mm()
        .get_writable_frame(wish.gmfn, id, id)
        .map_err(|_| Errno::EINVAL)?;
    if !domain.show_interrupts_in(memory::interrupt_bits_in(&frame)) {
        mm().put_writable_frame(frame);
        return Err(Errno::EBUSY);
    }
    // The domain keeps the frame for as long as it exists.
    let _ = frame.remember();
    Ok(())
}

/// A register of an IO-APIC.
pub(super) fn read_io_apic(argument: u64) -> Result<(), Errno> {
    let mut wish: Apic = read(argument)?;
    wish.value = irq::io_apic_register(wish.apic_physbase, wish.reg as u8).ok_or(Errno::EINVAL)?;
    write(argument, &wish)
}

/// The vector of an interrupt of the guest's own numbering: nothing depends on it.
pub(super) fn allocate_vector(argument: u64) -> Result<(), Errno> {
    let mut wish: IrqVector = read(argument)?;
    wish.vector = wish.irq;
    write(argument, &wish)
}

/// Sets how a line signals.
pub(super) fn set_up_line(argument: u64) -> Result<(), Errno> {
    let wish: SetupGsi = read(argument)?;
    let gsi = u32::try_from(wish.gsi).map_err(|_| Errno::EINVAL)?;
    let signal = Signal {
        trigger: match wish.triggering {
            0 => Trigger::Edge,
            _ => Trigger::Level,
        },
        polarity: match wish.polarity {
            0 => Polarity::High,
            _ => Polarity::Low,
        },
    };
    Ok(lines().set_up(gsi, signal)?)
}

/// What is asked for at `argument`, if the answer can be written there: a caller who could not be told gets nothing. One that takes the
/// page away between the two keeps a number that it can find out and give back.
fn read_to_answer<T: FromBytes + IntoBytes + Immutable>(argument: u64) -> Result<T, Errno> {
    let wish = read(argument)?;
    write(argument, &wish)?;
    Ok(wish)
}

/// Keeps a number for an interrupt that is mapped later.
pub(super) fn reserve(domain: &Domain, argument: u64) -> Result<(), Errno> {
    let mut wish: GetFreePirq = read_to_answer(argument)?;
    let for_message = wish.map_type != MapPirqType::Gsi as i32;
    wish.pirq = domain.pirqs.numbers.reserve(for_message)?;
    write(argument, &wish)
}

/// The domain that an operation is about. The caller may act on all of them.
fn subject(guest: &Guest<'_>, id: DomId) -> Result<Arc<Domain>, Errno> {
    if id == DomId::SELF || id == guest.domain.id() {
        return Ok(guest.domain.clone());
    }
    // Devices are the first domain's only; what another had of them its end would have to take back.
    Domains.find(id).ok_or(Errno::ESRCH)?;
    Err(Errno::EOPNOTSUPP)
}

/// Makes a source of interrupts a numbered interrupt of a domain.
pub(super) fn map(guest: &Guest<'_>, argument: u64) -> Result<(), Errno> {
    let mut wish: MapPirq = read_to_answer(argument)?;
    let domain = subject(guest, wish.domid)?;
    let wanted = u32::try_from(wish.pirq).ok();
    let pirq = match MapPirqType::try_from(wish.map_type) {
        Ok(MapPirqType::Gsi) => map_line(&domain, &wish, wanted)?,
        Ok(MapPirqType::Msi) => map_message(&domain, &wish, 0, wanted)?,
        Ok(MapPirqType::MsiSeg) => map_message(&domain, &wish, (wish.bus >> 16) as u16, wanted)?,
        // Several messages in a row need as many vectors in a row on one processor, for ever: devices that have no
        // table make do with one.
        Ok(MapPirqType::MultiMsi) if wish.entry_nr > 1 => return Err(Errno::EINVAL),
        Ok(MapPirqType::MultiMsi) => {
            wish.entry_nr = 1;
            wish.table_base = 0;
            map_message(&domain, &wish, (wish.bus >> 16) as u16, wanted)?
        }
        Ok(MapPirqType::Unknown) | Err(_) => return Err(Errno::EINVAL),
    };
    wish.pirq = pirq as i32;
    write(argument, &wish)
}

fn map_line(domain: &Domain, wish: &MapPirq, wanted: Option<u32>) -> Result<u32, Errno> {
    let gsi = u32::try_from(wish.index).map_err(|_| Errno::EINVAL)?;
    if gsi == 0 {
        // The interval timer's number.
        return Err(Errno::EPERM);
    }
    let irq = lines().gsi(gsi)?;
    Ok(domain.pirqs.numbers.map_line(irq, wanted)?)
}

fn map_message(
    domain: &Domain,
    wish: &MapPirq,
    segment: u16,
    wanted: Option<u32>,
) -> Result<u32, Errno> {
    let function = Function {
        segment,
        bus: wish.bus as u8,
        devfn: wish.devfn as u8,
    };
    let message = match wish.table_base {
        0 => Wanted::Msi,
        _ => Wanted::Entry(u16::try_from(wish.entry_nr).map_err(|_| Errno::EINVAL)?),
    };
    let processor = domain.processor_of(VcpuId(0));
    let irq = msi_map::map(function, message, processor)?;
    domain
        .pirqs
        .numbers
        .map_message(irq, wanted)
        .map_err(|error| {
            msi_map::unmap(irq);
            error.into()
        })
}

/// Takes an interrupt's number away from a domain, and the interrupt from the port that has it.
pub(super) fn unmap(guest: &Guest<'_>, argument: u64) -> Result<(), Errno> {
    let wish: UnmapPirq = read(argument)?;
    let domain = subject(guest, wish.domid)?;
    let pirq = u32::try_from(wish.pirq).map_err(|_| Errno::EINVAL)?;
    let mut was_bound = false;
    let unmapped = domain.pirqs.numbers.unmap_with(pirq, |irq| {
        was_bound = lines().unbind(irq, None);
    });
    if was_bound {
        log::info!(
            "d{}: interrupt {pirq} is taken from its port",
            domain.id().0
        );
    }
    match unmapped.ok_or(Errno::EINVAL)? {
        Pirq::Mapped(irq) if u32::from(irq.0) >= irq::nr_gsis() => msi_map::unmap(irq),
        Pirq::Mapped(_) | Pirq::Reserved => {}
    }
    Ok(())
}
