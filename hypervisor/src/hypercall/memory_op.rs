//! Memory reservation: how many frames a domain has.

#![forbid(unsafe_code)]

use super::{Answer, Outcome, admit, exchange, memory_map, read, subject, write};
use crate::arch::guest::running::Guest;
use crate::arch::memory::{self, Machine};
use crate::arch::scheduler;
use crate::control::privilege;
use crate::domain::{Domain, Domains};
use crate::mm::buddy::{Order, Request, Reserve};
use crate::mm::error::{MmError, Stop};
use crate::mm::platform::MachineToPhys;
use alloc::sync::Arc;
use guest_abi::address_space::M2P_INVALID;
use guest_abi::errno::Errno;
use guest_abi::ids::{Mfn, Vaddr};
use guest_abi::memory_map::ReservedDeviceMemoryMap;
use guest_abi::memory_op::{MemFlags, MemoryDomain, MemoryOp, OP_BITS, Reservation};

/// The largest extent that a domain may ask for: 2 MiB, or, because its devices may need that, 16 MiB. An extent
/// is cleaned and given in one go.
pub(super) fn largest_order(guest: &Guest<'_>) -> Order {
    if guest.domain.is_hardware_domain() {
        HARDWARE_ORDER
    } else {
        ORDINARY_ORDER
    }
}

const ORDINARY_ORDER: Order = Order::new(9).expect("blocks of 2 MiB");
const HARDWARE_ORDER: Order = Order::new(12).expect("blocks of 16 MiB");

pub(super) fn memory_op(guest: &Guest<'_>, arguments: [u64; 6]) -> Outcome {
    let [command, argument, ..] = arguments;
    // The upper bits of the command say with which extent an interrupted call goes on.
    let (number, start) = (command & ((1 << OP_BITS) - 1), command >> OP_BITS);
    let Ok(operation) = MemoryOp::try_from(number as u32) else {
        return Err(Errno::ENOSYS).into();
    };
    match operation {
        MemoryOp::IncreaseReservation | MemoryOp::PopulatePhysmap => {
            increase_all(guest, operation, argument, start)
        }
        MemoryOp::DecreaseReservation => decrease_all(guest, argument, start),
        MemoryOp::Exchange => exchange::exchange(guest, argument),
        MemoryOp::ClaimPages => claim_pages(guest, argument).into(),
        MemoryOp::MaximumRamPage => Ok(memory::frames_end().0).into(),
        MemoryOp::CurrentReservation | MemoryOp::MaximumReservation | MemoryOp::MaximumGpfn => {
            reservation_size(guest, operation, argument).into()
        }
        MemoryOp::MachphysMapping => memory_map::machphys_mapping(argument).into(),
        MemoryOp::MachphysMfnList => memory_map::machphys_mfn_list(argument).into(),
        MemoryOp::MemoryMap => memory_map::memory_map(guest, argument).into(),
        MemoryOp::SetMemoryMap => memory_map::set_memory_map(guest, argument).into(),
        MemoryOp::MachineMemoryMap => memory_map::machine_memory_map(guest, argument).into(),
        MemoryOp::AcquireResource => memory_map::acquire_resource(guest, argument).into(),
        other => not_for_paravirtualized(other, argument).into(),
    }
}

/// Operations that other kinds of guests have, and what this kind is told.
fn not_for_paravirtualized(operation: MemoryOp, argument: u64) -> Answer {
    /// All of their arguments have at least these bytes.
    type Argument = [u64; 2];
    match operation {
        MemoryOp::AddToPhysmap | MemoryOp::RemoveFromPhysmap | MemoryOp::AddToPhysmapBatch => {
            let _: Argument = read(argument)?;
            Err(Errno::EACCES)
        }
        MemoryOp::SetPodTarget | MemoryOp::GetPodTarget => {
            let _: Argument = read(argument)?;
            Err(Errno::EINVAL)
        }
        MemoryOp::AccessOp => {
            let _: Argument = read(argument)?;
            Err(Errno::EPERM)
        }
        // Nothing is shared.
        MemoryOp::GetSharingFreedPages | MemoryOp::GetSharingSharedPages => Ok(0),
        MemoryOp::GetVnumaInfo => {
            let _: Argument = read(argument)?;
            Err(Errno::EOPNOTSUPP)
        }
        MemoryOp::MachphysCompatMfnList => Err(Errno::EOPNOTSUPP),
        MemoryOp::ReservedDeviceMemoryMap => {
            // No device insists on any memory.
            let mut wish: ReservedDeviceMemoryMap = read(argument)?;
            wish.nr_entries = 0;
            write(argument, &wish)?;
            Ok(0)
        }
        _ => Err(Errno::ENOSYS),
    }
}

fn reservation_size(guest: &Guest<'_>, operation: MemoryOp, argument: u64) -> Answer {
    let wish: MemoryDomain = read(argument)?;
    let domain = subject(guest, wish.domid, privilege::memory(operation))?;
    let pages = u64::from(domain.total_pages());
    Ok(match operation {
        MemoryOp::MaximumReservation => domain.max_pages(),
        MemoryOp::MaximumGpfn => domain.max_pfn().saturating_sub(1),
        _ => pages,
    })
}

/// What `guest` asks the allocator for. Memory that is set aside below some address is there for devices, and so for
/// the domain that has them, when it says that it needs such.
pub(super) fn request(guest: &Guest<'_>, order: Order, flags: MemFlags) -> Request {
    let max_address_bits = match flags.address_bits() {
        0 => None,
        bits => Some(bits),
    };
    let is_for_devices = max_address_bits.is_some() && guest.domain.is_hardware_domain();
    Request {
        order,
        max_address_bits,
        reserve: if is_for_devices {
            Reserve::Use
        } else {
            Reserve::Spare
        },
    }
}

/// The list of a call, if there is something to do with it.
struct Extents {
    domain: Arc<Domain>,
    list: Vaddr,
    count: u64,
    order: Order,
    request: Request,
}

impl Extents {
    fn read(guest: &Guest<'_>, operation: MemoryOp, argument: u64) -> Option<Self> {
        let wish: Reservation = read(argument).ok()?;
        let order = Order::new(wish.extent_order).filter(|&order| order <= largest_order(guest))?;
        Some(Self {
            domain: subject(guest, wish.domid, privilege::memory(operation)).ok()?,
            list: wish.extent_start,
            count: wish.nr_extents,
            order,
            request: request(guest, order, wish.mem_flags),
        })
    }

    /// Where an element of the list is.
    fn element(&self, index: u64) -> Result<u64, Errno> {
        index
            .checked_mul(8)
            .and_then(|offset| self.list.0.checked_add(offset))
            .ok_or(Errno::EFAULT)
    }

    /// Allocates an extent within the domain's limit. `prepare` is told its first frame while that is nobody's: as soon as
    /// it is the domain's, another of its vCPUs may give it back, and a third domain may get it.
    fn allocate(&self, prepare: impl FnOnce(Mfn)) -> Result<Mfn, Errno> {
        let block =
            memory::allocate_claimed(self.request, self.domain.claim()).ok_or(Errno::ENOMEM)?;
        prepare(block.mfn());
        self.domain.adopt_within_limit(block).map_err(|block| {
            for index in 0..u64::from(block.order().frames()) {
                Machine.set(Mfn(block.mfn().0 + index), M2P_INVALID);
            }
            memory::put_back(block);
            Errno::ENOMEM
        })
    }
}

/// Takes extents, one after the other. The answer is how many are done.
fn increase_all(guest: &Guest<'_>, operation: MemoryOp, argument: u64, start: u64) -> Outcome {
    let Some(extents) = Extents::read(guest, operation, argument) else {
        return Ok(start).into();
    };
    let mut done = start;
    while done < extents.count {
        let result = match operation {
            MemoryOp::PopulatePhysmap => populate(&extents, done),
            _ => increase(&extents, done),
        };
        if result.is_err() {
            break;
        }
        done += 1;
        if done < extents.count && scheduler::should_yield() {
            return Outcome::again([operation as u64 | done << OP_BITS, argument]);
        }
    }
    Ok(done).into()
}

/// Allocates an extent for the guest frame numbers that begin with the one in the list, and says there which.
fn populate(extents: &Extents, index: u64) -> Result<(), Errno> {
    let at = extents.element(index)?;
    let pfn: u64 = read(at)?;
    let first = extents.allocate(|first| {
        for index in 0..u64::from(extents.order.frames()) {
            Machine.set(Mfn(first.0 + index), pfn.wrapping_add(index));
        }
    })?;
    write(at, &first.0)
}

/// Allocates an extent and, if the guest wants to know, says which.
fn increase(extents: &Extents, index: u64) -> Result<(), Errno> {
    let at = match extents.list.0 {
        0 => None,
        _ => Some(extents.element(index)?),
    };
    let first = extents.allocate(|_| {})?;
    at.map_or(Ok(()), |at| write(at, &first.0))
}

/// Gives extents up, one after the other. The answer is how many are done.
///
/// An interrupted call goes on with a frame, which may be inside of an extent: undoing a table that the guest
/// gives up can take long.
fn decrease_all(guest: &Guest<'_>, argument: u64, start: u64) -> Outcome {
    let Some(extents) = Extents::read(guest, MemoryOp::DecreaseReservation, argument) else {
        return Ok(start).into();
    };
    let order = extents.order.get();
    let mut frame = start;
    while frame >> order < extents.count {
        match decrease(&extents, frame) {
            Ok(()) => {}
            Err(Stop::Failed(_)) => break,
            Err(Stop::Preempted) => return decrease_again(argument, frame),
        }
        frame += 1;
        if frame >> order < extents.count && scheduler::should_yield() {
            return decrease_again(argument, frame);
        }
    }
    Ok(frame >> order).into()
}

fn decrease_again(argument: u64, frame: u64) -> Outcome {
    let command = MemoryOp::DecreaseReservation as u64 | frame << OP_BITS;
    Outcome::again([command, argument])
}

/// Gives up one frame of the extents, counted through all of them.
fn decrease(extents: &Extents, frame: u64) -> Result<(), Stop> {
    let order = extents.order.get();
    let first: Result<u64, Errno> = extents.element(frame >> order).and_then(read);
    let within = frame & (u64::from(extents.order.frames()) - 1);
    let mfn = first
        .ok()
        .and_then(|first| first.checked_add(within))
        .ok_or(MmError::BadFrame)?;
    extents.domain.give_up(Mfn(mfn))
}

/// Sets memory aside for a domain until it has as many frames as are named; 0 gives the rest free again.
fn claim_pages(guest: &Guest<'_>, argument: u64) -> Answer {
    let wish: Reservation = read(argument)?;
    if wish.extent_start.0 != 0 || wish.extent_order != 0 || wish.mem_flags.bits() != 0 {
        return Err(Errno::EINVAL);
    }
    let domain = Domains.find(wish.domid).ok_or(Errno::EINVAL)?;
    admit(guest, privilege::memory(MemoryOp::ClaimPages))?;
    let missing = match wish.nr_extents {
        0 => 0,
        total if total > domain.max_pages() => return Err(Errno::EINVAL),
        total => total
            .checked_sub(domain.total_pages().into())
            .filter(|&missing| missing != 0)
            .ok_or(Errno::EINVAL)?,
    };
    if !domain.claim().set(missing) {
        return Err(Errno::ENOMEM);
    }
    // Its end gives the claim up after it has begun: that, or this, comes later than what was set.
    if domain.is_ending() {
        domain.claim().set(0);
        return Err(Errno::EINVAL);
    }
    Ok(0)
}
