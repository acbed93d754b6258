//! Frames for other frames.

#![forbid(unsafe_code)]

use super::memory_op::{largest_order, request};
use super::{Outcome, read, subject, write};
use crate::arch::guest::access::is_guest_range;
use crate::arch::guest::running::Guest;
use crate::arch::memory::{self, mm};
use crate::arch::scheduler;
use crate::control::privilege;
use crate::domain::Domain;
use crate::mm::block::CleanBlock;
use crate::mm::buddy::{Order, Request};
use crate::mm::exchange::{ExchangeLists, ExchangeSource, Shape, Unreadable};
use crate::mm::held::HeldFrame;
use core::mem::offset_of;
use guest_abi::errno::Errno;
use guest_abi::ids::{Mfn, Pfn, Vaddr};
use guest_abi::memory_op::{Exchange, MemoryOp};

/// The lists of a call, in the caller's memory.
struct Lists {
    given: Vaddr,
    wanted: Vaddr,
}

/// Whether a list of so many numbers can be in the memory of a guest at all.
fn is_guest_list(list: Vaddr, elements: u64) -> bool {
    elements
        .checked_mul(8)
        .and_then(|bytes| usize::try_from(bytes).ok())
        .is_some_and(|bytes| is_guest_range(list.0, bytes))
}

fn element(list: Vaddr, index: u64) -> Result<u64, Unreadable> {
    let offset = index.checked_mul(8).ok_or(Unreadable)?;
    list.0.checked_add(offset).ok_or(Unreadable)
}

impl ExchangeLists for Lists {
    fn given(&self, index: u64) -> Result<Mfn, Unreadable> {
        let mfn = read(element(self.given, index)?).map_err(|_| Unreadable)?;
        Ok(Mfn(mfn))
    }
    fn wanted(&self, index: u64) -> Result<Pfn, Unreadable> {
        let pfn = read(element(self.wanted, index)?).map_err(|_| Unreadable)?;
        Ok(Pfn(pfn))
    }
    fn tell(&self, index: u64, first: Mfn) -> Result<(), Unreadable> {
        write(element(self.wanted, index)?, &first.0).map_err(|_| Unreadable)
    }
}

/// Free memory below some address, for one domain.
struct Source<'a> {
    domain: &'a Domain,
    /// For a block of any size.
    request: Request,
}

impl ExchangeSource for Source<'_> {
    fn allocate(&self, order: Order) -> Option<CleanBlock> {
        memory::allocate(Request {
            order,
            ..self.request
        })
    }
    fn put_back(&self, block: CleanBlock) {
        memory::put_back(block);
    }
    fn vacate(&self, frame: &mut HeldFrame) {
        self.domain.vacate_frame(frame);
    }
    fn replace(&self, block: CleanBlock) -> Mfn {
        self.domain.replace_frames(block)
    }
}

/// Says how many extents to give are gone.
fn report(argument: u64, nr_exchanged: u64) -> Result<(), Errno> {
    let at = argument
        .checked_add(offset_of!(Exchange, nr_exchanged) as u64)
        .ok_or(Errno::EFAULT)?;
    write(at, &nr_exchanged)
}

pub(super) fn exchange(guest: &Guest<'_>, argument: u64) -> Outcome {
    match try_exchange(guest, argument) {
        Ok(outcome) => outcome,
        Err(errno) => Err(errno).into(),
    }
}

fn try_exchange(guest: &Guest<'_>, argument: u64) -> Result<Outcome, Errno> {
    let wish: Exchange = read(argument)?;
    let (given, wanted) = (&wish.given, &wish.wanted);
    if wish.nr_exchanged > given.nr_extents || given.domid != wanted.domid {
        return Err(Errno::EINVAL);
    }
    let check = privilege::memory(MemoryOp::Exchange);
    let domain = subject(guest, given.domid, check)?;
    let order = |order| {
        Order::new(order)
            .filter(|&order| order <= largest_order(guest))
            .ok_or(Errno::EPERM)
    };
    let shape = Shape::new(
        given.nr_extents,
        order(given.extent_order)?,
        wanted.nr_extents,
        order(wanted.extent_order)?,
    )
    .ok_or(Errno::EINVAL)?;
    for side in [given, wanted] {
        if !is_guest_list(side.extent_start, side.nr_extents) {
            return Err(Errno::EFAULT);
        }
    }
    let lists = Lists {
        given: given.extent_start,
        wanted: wanted.extent_start,
    };
    let source = Source {
        domain: &domain,
        request: request(guest, Order::FRAME, wanted.mem_flags),
    };
    let first = shape.steps_of(wish.nr_exchanged);
    for step in first..shape.steps() {
        if step != first && scheduler::should_yield() {
            report(argument, shape.given_after(step))?;
            let again = [MemoryOp::Exchange as u64, argument];
            return Ok(Outcome::again(again));
        }
        if let Err(error) = mm().exchange_step(domain.id(), shape, step, &lists, &source) {
            report(argument, shape.given_after(step))?;
            return Err(error.errno());
        }
    }
    report(argument, given.nr_extents)?;
    Ok(Ok(0).into())
}
