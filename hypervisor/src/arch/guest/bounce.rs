//! Delivering exceptions, events and system calls to a guest kernel: the frame on its stack, and where it
//! goes on.

use super::access::{self, FrameWords};
use super::areas;
use super::running::Guest;
use super::switch;
use crate::arch::layout::{HYPERVISOR_END, HYPERVISOR_START};
use crate::domain::context::{Callback, EventMask, is_canonical};
use crate::registers::rflags;
use core::fmt;
use guest_abi::ids::Vaddr;
use guest_abi::segment::{FLAT_RING3_CS64, FLAT_RING3_SS};

/// Flags that an entry point starts without.
pub(in crate::arch) const ENTRY_CLEARS: u64 =
    rflags::TRAP | rflags::VM | rflags::RESUME | rflags::NESTED | rflags::ALIGNMENT;

/// A guest kernel that can't take what it is given; its domain ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CannotDeliver {
    /// Its stack is where no guest's may be.
    BadStack(Vaddr),
    /// Its stack can't be written.
    StackFault(Vaddr),
    /// It has no handler for what happened.
    NoHandler,
}

impl fmt::Display for CannotDeliver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadStack(at) => write!(f, "its kernel stack {at} is no guest address"),
            Self::StackFault(at) => write!(f, "its kernel stack at {at} can't be written"),
            Self::NoHandler => f.write_str("it has no handler for it"),
        }
    }
}

/// Delivers: switches to the guest kernel if user space runs, writes the frame, and lets the guest go on at
/// the entry point `to`. `error_code` is for the exceptions that have one; the flags `clears` are cleared in the
/// guest.
pub(in crate::arch) fn deliver(
    guest: &mut Guest<'_>,
    to: Callback,
    error_code: Option<u32>,
    clears: u64,
) -> Result<(), CannotDeliver> {
    if !to.is_set() {
        return Err(CannotDeliver::NoHandler);
    }
    let info = guest.vcpu.info();
    let mask = info.upcall_mask();
    // Interrupted kernel code is told from user code by the privilege level in the saved selector.
    let (stack, selector) = if guest.context.is_kernel() {
        (guest.registers.rsp, guest.registers.cs & 0xfffc)
    } else {
        switch::to_kernel(guest.context);
        if guest.context.is_area_due {
            areas::catch_up(guest);
        }
        let stack = guest.context.kernel_stack.1.0;
        (stack, guest.registers.cs & 0xffff)
    };
    let registers = &mut *guest.registers;
    let mut flags = registers.rflags & !(rflags::IOPL | rflags::INTERRUPT);
    if guest.domain.has_architectural_iopl() {
        flags |= guest.context.iopl.in_rflags();
    }
    if mask == 0 {
        flags |= rflags::INTERRUPT;
    }
    let words = FrameWords {
        error_code,
        cs: selector | u64::from(mask) << 32,
        rflags: flags,
    };
    let frame = access::write_frame(stack & !15, registers, &words).map_err(|_| refusal(stack))?;
    if to.mask == EventMask::Mask {
        info.set_upcall_mask(1);
    }
    registers.rip = to.address.0;
    registers.cs = u64::from(FLAT_RING3_CS64);
    registers.ss = u64::from(FLAT_RING3_SS);
    registers.rsp = frame;
    registers.rflags &= !clears;
    Ok(())
}

/// Delivers the news that selectors of the guest (DS, ES, FS, GS) could not be loaded, which are null now: they
/// stand in the frame between R11 and RIP.
#[cold]
pub(in crate::arch) fn deliver_failsafe(
    guest: &mut Guest<'_>,
    [ds, es, fs, gs]: [u64; 4],
) -> Result<(), CannotDeliver> {
    deliver(guest, guest.context.callbacks.failsafe, None, ENTRY_CLEARS)?;
    let registers = &mut *guest.registers;
    let frame = registers.rsp.wrapping_sub(4 * 8);
    let words = [registers.rcx, registers.r11, ds, es, fs, gs];
    access::write(Vaddr(frame), &words).map_err(|_| CannotDeliver::StackFault(Vaddr(frame)))?;
    registers.rsp = frame;
    Ok(())
}

/// Why there can't be a frame on this stack.
#[cold]
fn refusal(stack: u64) -> CannotDeliver {
    /// What a frame takes at the most, with what aligns it.
    const FRAME: u64 = 8 * 8 + 15;
    let bottom = stack.wrapping_sub(FRAME);
    let is_hypervisors = bottom < HYPERVISOR_END && stack > HYPERVISOR_START;
    if is_canonical(stack) && is_canonical(bottom) && !is_hypervisors {
        CannotDeliver::StackFault(Vaddr(stack))
    } else {
        CannotDeliver::BadStack(Vaddr(stack))
    }
}
