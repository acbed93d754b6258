//! Delivering exceptions, events and system calls to a guest kernel: the frame on its stack, and where it
//! goes on.

use super::running::Guest;
use super::switch;
use super::{access, areas};
use crate::arch::layout::{HYPERVISOR_END, HYPERVISOR_START};
use crate::domain::context::{Callback, EventMask, is_canonical};
use crate::registers::rflags;
use core::fmt;
use guest_abi::ids::Vaddr;
use guest_abi::segment::{FLAT_RING3_CS64, FLAT_RING3_SS};

/// What is to be delivered.
#[derive(Clone, Copy, Debug)]
pub(in crate::arch) struct Bounce {
    /// Where the guest kernel wants it.
    pub(in crate::arch) to: Callback,
    /// Error code, for the exceptions that have one.
    pub(in crate::arch) error_code: Option<u32>,
    /// Flags cleared in the guest: those of an exception, or of a system call.
    pub(in crate::arch) clears: u64,
}

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
/// the entry point.
pub(in crate::arch) fn deliver(guest: &mut Guest<'_>, bounce: Bounce) -> Result<(), CannotDeliver> {
    if !bounce.to.is_set() {
        return Err(CannotDeliver::NoHandler);
    }
    let info = guest.vcpu.info();
    let mask = info.upcall_mask();
    let was_kernel = guest.context.is_kernel();
    let stack = if was_kernel {
        guest.registers.rsp
    } else {
        switch::to_kernel(guest.context);
        if guest.context.is_area_due {
            areas::catch_up(guest);
        }
        guest.context.kernel_stack.1.0
    };
    let registers = &mut *guest.registers;
    // Interrupted kernel code is told from user code by the privilege level in the saved selector.
    let cs = if was_kernel {
        registers.cs & 0xfffc
    } else {
        registers.cs & 0xffff
    };
    let mut flags = registers.rflags & !(rflags::IOPL | rflags::INTERRUPT);
    if guest.domain.has_architectural_iopl() {
        flags |= guest.context.iopl.in_rflags();
    }
    if mask == 0 {
        flags |= rflags::INTERRUPT;
    }
    let cs = cs | u64::from(mask) << 32;
    let top = stack & !15;
    let words = if bounce.error_code.is_some() { 8 } else { 7 };
    let bottom = top.wrapping_sub(8 * words);
    if !is_canonical(top)
        || !is_canonical(bottom)
        || (bottom < HYPERVISOR_END && top > HYPERVISOR_START)
    {
        return Err(CannotDeliver::BadStack(Vaddr(stack)));
    }
    let (rcx, r11) = (registers.rcx, registers.r11);
    let written = match bounce.error_code {
        Some(code) => access::write_words(
            Vaddr(bottom),
            &[
                rcx,
                r11,
                u64::from(code),
                registers.rip,
                cs,
                flags,
                registers.rsp,
                registers.ss,
            ],
        ),
        None => access::write_words(
            Vaddr(bottom),
            &[
                rcx,
                r11,
                registers.rip,
                cs,
                flags,
                registers.rsp,
                registers.ss,
            ],
        ),
    };
    written.map_err(|_| CannotDeliver::StackFault(Vaddr(bottom)))?;
    if bounce.to.mask == EventMask::Mask {
        info.set_upcall_mask(1);
    }
    registers.rip = bounce.to.address.0;
    registers.cs = u64::from(FLAT_RING3_CS64);
    registers.ss = u64::from(FLAT_RING3_SS);
    registers.rsp = bottom;
    registers.rflags &= !bounce.clears;
    Ok(())
}
