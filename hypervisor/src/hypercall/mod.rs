//! The hall: from a hypercall's number to the room that does it, and back.
//!
//! Here, and only here, arguments are read from guest memory and results written to it. A handler reads
//! what it needs once, checks it, calls a room with typed values, and turns what that says into an answer.

#![forbid(unsafe_code)]

mod console_io;
mod cpu_map;
pub(crate) mod descriptors;
mod domctl;
mod event_channel;
mod exchange;
mod grant_table;
mod machine_check;
mod memory_map;
mod memory_op;
mod mmu;
mod physdev;
mod platform;
mod policy_list;
mod processor;
mod sched_op;
mod sysctl;
mod vcpu_op;
mod version;

use crate::arch::guest::access;
use crate::arch::guest::running::Guest;
use crate::arch::scheduler;
use crate::continuation::{self, CallersMemory as ListedCalls, Continuation};
use crate::control::privilege::{Check, Whom};
use crate::domain::entry_points::Arguments;
use crate::domain::{Domain, Domains};
use crate::platform as platform_room;
use crate::speculation;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};
use guest_abi::errno::Errno;
use guest_abi::hypercall::Hypercall;
use guest_abi::ids::{DomId, Vaddr};
use guest_abi::multicall::MulticallEntry;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

pub(crate) use crate::continuation::Outcome;
pub(crate) use mmu::{RootRefusal, load_root};

/// What most handlers return.
type Answer = Result<u64, Errno>;

/// The domain that `id` names, if the caller may do to it what is checked. Who may not does not learn whether there is one.
fn subject(guest: &Guest<'_>, id: DomId, check: Check) -> Result<Arc<Domain>, Errno> {
    if id == DomId::SELF || id == guest.domain.id() {
        check.admit(guest.domain.rights(), Whom::Caller)?;
        return Ok(guest.domain.clone());
    }
    check.admit(guest.domain.rights(), Whom::Other)?;
    speculation::barrier();
    Domains.find(id).ok_or(Errno::ESRCH)
}

/// Lets tools of our version of an interface through.
fn check_version(theirs: u32, ours: u32) -> Result<(), Errno> {
    #[cfg(feature = "planted-faults")]
    if crate::arch::planted::has_other_version() {
        return Err(Errno::EACCES);
    }
    if theirs == ours {
        Ok(())
    } else {
        Err(Errno::EACCES)
    }
}

/// Whether the caller may do what is about itself, or nobody in particular.
fn admit(guest: &Guest<'_>, check: Check) -> Result<(), Errno> {
    check.admit(guest.domain.rights(), Whom::Caller)
}

/// Reads an argument that a guest points to.
#[inline]
fn read<T: FromBytes>(address: u64) -> Result<T, Errno> {
    access::read(Vaddr(address)).map_err(|_| Errno::EFAULT)
}

/// The memory of the guest that calls, for rooms that read their arguments themselves.
struct CallersMemory;

impl platform_room::CallersMemory for CallersMemory {
    fn read_bytes(&self, at: u64, bytes: &mut [u8]) -> Result<(), Errno> {
        access::read_bytes(Vaddr(at), bytes).map_err(|_| Errno::EFAULT)
    }

    fn write_bytes(&self, at: u64, bytes: &[u8]) -> Result<(), Errno> {
        access::write_bytes(Vaddr(at), bytes).map_err(|_| Errno::EFAULT)
    }

    fn write<T: IntoBytes + Immutable>(&self, at: u64, value: &T) -> Result<(), Errno> {
        write(at, value)
    }
}

impl Arguments for CallersMemory {
    #[inline]
    fn read<T: FromBytes>(&self, at: u64) -> Result<T, Errno> {
        read(at)
    }
}

/// Reads an argument that is too large for the stack.
fn read_boxed<T: FromBytes + FromZeros + IntoBytes>(address: u64) -> Result<Box<T>, Errno> {
    let mut value = T::new_box_zeroed().map_err(|_| Errno::ENOMEM)?;
    access::read_bytes(Vaddr(address), value.as_mut_bytes()).map_err(|_| Errno::EFAULT)?;
    Ok(value)
}

/// Writes a result to where a guest wants it.
fn write<T: IntoBytes + Immutable>(address: u64, value: &T) -> Result<(), Errno> {
    access::write(Vaddr(address), value).map_err(|_| Errno::EFAULT)
}

/// Does the hypercall that the guest's registers ask for.
#[inline(always)]
pub(crate) fn enter(guest: &mut Guest<'_>) {
    let (number, rip) = (guest.registers.rax, guest.registers.rip);
    let arguments = guest.registers.arguments();
    let first = arguments[0];
    match call(guest, number, arguments) {
        Outcome::Done(value) => {
            guest.registers.rax = value;
            guest.vcpu.history.called(number, first, value, rip);
        }
        Outcome::Again(continuation) => {
            again(guest, &continuation);
            guest.vcpu.history.called_again(number, first, rip);
        }
        Outcome::Resume => guest.vcpu.history.called(number, first, 0, rip),
    }
}

/// Lets the guest make its call again: RIP goes back over the SYSCALL, so that events are delivered first.
#[cold]
fn again(guest: &mut Guest<'_>, continuation: &Continuation) {
    let registers = &mut *guest.registers;
    registers.rip = registers.rip.wrapping_sub(2);
    let places = [
        &mut registers.rdi,
        &mut registers.rsi,
        &mut registers.rdx,
        &mut registers.r10,
        &mut registers.r8,
        &mut registers.r9,
    ];
    for (place, &argument) in places.into_iter().zip(continuation.arguments()) {
        *place = argument;
    }
}

/// Does a hypercall, given its arguments.
type Handler = fn(&mut Guest<'_>, u64, u64, u64, u64, u64) -> Outcome;

/// Numbers that hypercalls may have.
const NUMBERS: usize = 64;

/// What does each number.
static HANDLERS: [Option<Handler>; NUMBERS] = {
    use Hypercall as H;
    let mut table: [Option<Handler>; NUMBERS] = [None; NUMBERS];
    table[H::SetTrapTable as usize] =
        Some(|g, a, _, _, _, _| processor::set_trap_table(g, a).into());
    table[H::StackSwitch as usize] =
        Some(|g, a, b, _, _, _| processor::stack_switch(g, a, b).into());
    table[H::FpuTaskswitch as usize] =
        Some(|g, a, _, _, _, _| processor::fpu_taskswitch(g, a).into());
    table[H::SetDebugreg as usize] =
        Some(|g, a, b, _, _, _| processor::set_debugreg(g, a, b).into());
    table[H::GetDebugreg as usize] = Some(|g, a, _, _, _, _| processor::get_debugreg(g, a).into());
    table[H::SetSegmentBase as usize] =
        Some(|g, a, b, _, _, _| processor::set_segment_base(g, a, b).into());
    table[H::CallbackOp as usize] = Some(|g, a, b, _, _, _| processor::callback_op(g, a, b).into());
    table[H::VmAssist as usize] = Some(|g, a, b, _, _, _| processor::vm_assist(g, a, b).into());
    table[H::Iret as usize] = Some(|g, _, _, _, _, _| processor::iret(g));
    table[H::Multicall as usize] = Some(|g, a, b, c, d, e| multicall(g, [a, b, c, d, e, 0]));
    table[H::Version as usize] = Some(|g, a, b, _, _, _| version::version(g, a, b).into());
    table[H::ConsoleIo as usize] = Some(|g, a, b, c, _, _| console_io::console_io(g, a, b, c));
    table[H::SchedOp as usize] = Some(|g, a, b, _, _, _| sched_op::sched_op(g, a, b).into());
    table[H::SetTimerOp as usize] = Some(|g, a, _, _, _, _| vcpu_op::set_timer_op(g, a).into());
    table[H::VcpuOp as usize] = Some(|g, a, b, c, _, _| vcpu_op::vcpu_op(g, a, b, c));
    table[H::EventChannelOp as usize] =
        Some(|g, a, b, _, _, _| event_channel::event_channel_op(g, a, b));
    table[H::MmuUpdate as usize] = Some(|g, a, b, c, d, e| mmu::mmu_update(g, [a, b, c, d, e, 0]));
    table[H::UpdateVaMapping as usize] =
        Some(|g, a, b, c, d, e| mmu::update_va_mapping(g, [a, b, c, d, e, 0], None));
    table[H::UpdateVaMappingOtherdomain as usize] =
        Some(|g, a, b, c, d, e| mmu::update_va_mapping(g, [a, b, c, d, e, 0], Some(d as u16)));
    table[H::MmuextOp as usize] = Some(|g, a, b, c, d, e| mmu::mmuext_op(g, [a, b, c, d, e, 0]));
    table[H::SetGdt as usize] =
        Some(|g, a, b, c, d, e| descriptors::set_gdt(g, [a, b, c, d, e, 0]));
    table[H::UpdateDescriptor as usize] =
        Some(|g, a, b, c, d, e| descriptors::update_descriptor(g, [a, b, c, d, e, 0]));
    table[H::MemoryOp as usize] =
        Some(|g, a, b, c, d, e| memory_op::memory_op(g, [a, b, c, d, e, 0]));
    table[H::GrantTableOp as usize] =
        Some(|g, a, b, c, d, e| grant_table::grant_table_op(g, [a, b, c, d, e, 0]));
    table[H::Mca as usize] = Some(|g, a, _, _, _, _| machine_check::mca(g, a).into());
    table[H::PlatformOp as usize] = Some(|g, a, _, _, _, _| platform::platform_op(g, a).into());
    table[H::Sysctl as usize] = Some(|g, a, _, _, _, _| sysctl::sysctl(g, a));
    table[H::Domctl as usize] = Some(|g, a, _, _, _, _| domctl::domctl(g, a));
    table[H::PhysdevOp as usize] = Some(|g, a, b, _, _, _| physdev::physdev_op(g, a, b).into());
    table
};

/// Does hypercall `number`.
#[inline(always)]
fn call(guest: &mut Guest<'_>, number: u64, [a, b, c, d, e, _]: [u64; 6]) -> Outcome {
    match speculation::element(&HANDLERS, number as usize)
        .copied()
        .flatten()
    {
        Some(handler) => handler(guest, a, b, c, d, e),
        None => not_offered(guest, number),
    }
}

/// A hypercall that does not exist or is not offered. Says so, but not again for the same one.
#[cold]
fn not_offered(guest: &Guest<'_>, number: u64) -> Outcome {
    /// The last one that was said.
    static SAID: AtomicU64 = AtomicU64::new(u64::MAX);
    let this = number << 16 | u64::from(guest.domain.id().0);
    if SAID.load(Ordering::Relaxed) != this {
        SAID.store(this, Ordering::Relaxed);
        say_not_offered(guest, number);
    }
    Err(Errno::ENOSYS).into()
}

#[inline(never)]
fn say_not_offered(guest: &Guest<'_>, number: u64) {
    let (domain, vcpu) = (guest.domain.id().0, guest.vcpu.id().0);
    log::debug!(target: crate::console::GUEST, "d{domain}v{vcpu}: there is no hypercall {number}");
}

/// A list of hypercalls in one.
fn multicall(guest: &mut Guest<'_>, [list, left, ..]: [u64; 6]) -> Outcome {
    struct Callers;
    impl ListedCalls for Callers {
        #[inline(always)]
        fn entry(&self, at: u64) -> Result<MulticallEntry, Errno> {
            read(at)
        }
        #[inline(always)]
        fn set_word(&self, at: u64, value: u64) -> Result<(), Errno> {
            write(at, &value)
        }
    }
    let call = |op, arguments| call(guest, op, arguments);
    continuation::multicall(&Callers, list, left, scheduler::should_yield, call)
}
