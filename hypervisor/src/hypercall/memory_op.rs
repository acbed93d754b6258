//! Memory reservation and maps.

#![forbid(unsafe_code)]

use super::{Answer, Outcome, exchange, read, write};
use crate::arch::guest::running::Guest;
use crate::arch::memory::{self, Machine, mm};
use crate::arch::scheduler;
use crate::domain::{Domain, Domains};
use crate::mm::buddy::Order;
use crate::mm::platform::MachineToPhys;
use alloc::sync::Arc;
use guest_abi::errno::Errno;
use guest_abi::ids::{DomId, Mfn, Vaddr};
use guest_abi::memory_map::{E820Entry, MachphysMapping, MemoryMap};
use guest_abi::memory_op::{MemoryDomain, MemoryOp, OP_BITS, Reservation};

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
        MemoryOp::IncreaseReservation
        | MemoryOp::DecreaseReservation
        | MemoryOp::PopulatePhysmap => reservation(guest, operation, argument, start),
        MemoryOp::Exchange => exchange::exchange(guest, argument),
        MemoryOp::MaximumRamPage => Ok(memory::frames_end().0).into(),
        MemoryOp::CurrentReservation | MemoryOp::MaximumReservation | MemoryOp::MaximumGpfn => {
            reservation_size(guest, operation, argument).into()
        }
        MemoryOp::MachphysMapping => {
            let mapping = MachphysMapping {
                v_start: Vaddr::M2P_START,
                v_end: Vaddr::M2P_END,
                max_mfn: memory::frames_end().0 - 1,
            };
            write(argument, &mapping).map(|()| 0).into()
        }
        MemoryOp::MemoryMap => Err(Errno::ENOSYS).into(),
        MemoryOp::MachineMemoryMap => machine_memory_map(guest, argument).into(),
        _ => Err(Errno::ENOSYS).into(),
    }
}

/// The domain whose memory is meant, if the caller may act on it.
pub(super) fn subject(guest: &Guest<'_>, id: DomId) -> Result<Arc<Domain>, Errno> {
    if id == DomId::SELF || id == guest.domain.id() {
        return Ok(guest.domain.clone());
    }
    if !guest.domain.is_privileged() {
        return Err(Errno::EPERM);
    }
    Domains.find(id).ok_or(Errno::ESRCH)
}

fn reservation_size(guest: &Guest<'_>, operation: MemoryOp, argument: u64) -> Answer {
    let wish: MemoryDomain = read(argument)?;
    let domain = subject(guest, wish.domid)?;
    let pages = u64::from(domain.total_pages());
    Ok(match operation {
        MemoryOp::MaximumReservation => domain.max_pages(),
        MemoryOp::MaximumGpfn => pages.saturating_sub(1),
        _ => pages,
    })
}

/// Takes or gives extents, one after the other. The answer is how many are done.
fn reservation(guest: &Guest<'_>, operation: MemoryOp, argument: u64, start: u64) -> Outcome {
    let wish: Reservation = match read(argument) {
        Ok(wish) => wish,
        Err(errno) => return Err(errno).into(),
    };
    let Ok(domain) = subject(guest, wish.domid) else {
        return Ok(start).into();
    };
    let Some(order) = Order::new(wish.extent_order).filter(|&order| order <= largest_order(guest))
    else {
        return Ok(start).into();
    };
    let bits = wish.mem_flags.address_bits();
    let mut done = start;
    while done < wish.nr_extents {
        let Some(at) = wish.extent_start.0.checked_add(done.saturating_mul(8)) else {
            break;
        };
        let is_done = match operation {
            MemoryOp::DecreaseReservation => decrease(&domain, at, order),
            MemoryOp::PopulatePhysmap => populate(&domain, at, order, bits),
            _ => increase(&domain, at, order, bits, wish.extent_start.0 != 0),
        };
        if is_done.is_err() {
            break;
        }
        done += 1;
        if done < wish.nr_extents && scheduler::should_yield() {
            return Outcome::Again([operation as u64 | done << OP_BITS, argument, 0, 0, 0, 0]);
        }
    }
    Ok(done).into()
}

/// Gives back the extent whose first frame is named at `at`.
fn decrease(domain: &Domain, at: u64, order: Order) -> Result<(), Errno> {
    let first: u64 = read(at)?;
    for index in 0..u64::from(order.frames()) {
        let mfn = Mfn(first.checked_add(index).ok_or(Errno::EINVAL)?);
        mm().give_back(mfn, domain.id())
            .map_err(|error| error.errno())?;
    }
    Ok(())
}

/// Allocates an extent within the domain's limit.
fn allocate(domain: &Domain, order: Order, bits: u32) -> Result<Mfn, Errno> {
    let wanted = u64::from(order.frames());
    if u64::from(domain.total_pages()) + wanted > domain.max_pages() {
        return Err(Errno::ENOMEM);
    }
    let block = memory::allocate(order, (bits != 0).then_some(bits)).ok_or(Errno::ENOMEM)?;
    Ok(domain.adopt(block))
}

/// Allocates an extent for the guest frame numbers that begin with the one at `at`, and says there which.
fn populate(domain: &Domain, at: u64, order: Order, bits: u32) -> Result<(), Errno> {
    let pfn: u64 = read(at)?;
    let mfn = allocate(domain, order, bits)?;
    for index in 0..u64::from(order.frames()) {
        Machine.set(Mfn(mfn.0 + index), pfn.wrapping_add(index));
    }
    write(at, &mfn.0)
}

/// Allocates an extent and, if the guest wants to know, says at `at` which.
fn increase(domain: &Domain, at: u64, order: Order, bits: u32, is_told: bool) -> Result<(), Errno> {
    let mfn = allocate(domain, order, bits)?;
    if is_told { write(at, &mfn.0) } else { Ok(()) }
}

/// The machine's memory map, for the domain that owns the hardware.
fn machine_memory_map(guest: &Guest<'_>, argument: u64) -> Answer {
    if !guest.domain.is_hardware_domain() {
        return Err(Errno::EPERM);
    }
    let mut wish: MemoryMap = read(argument)?;
    let room = wish.nr_entries;
    let mut count = 0u32;
    let mut result = Ok(());
    memory::for_each_range(|entry: E820Entry| {
        if result.is_err() {
            return;
        }
        if count >= room {
            result = Err(Errno::EINVAL);
            return;
        }
        let at = wish.buffer.0.wrapping_add(20 * u64::from(count));
        result = write(at, &entry);
        count += 1;
    });
    result?;
    wish.nr_entries = count;
    write(argument, &wish)?;
    Ok(0)
}
