//! Entries from a guest: system calls, exceptions, interrupts, and returns that failed.

use super::bounce::{self, CannotDeliver};
use super::exit;
use super::running::Guest;
use super::{emulation, page_fault};
use crate::arch::percpu::CpuInfo;
use crate::arch::{debug, fpu, traps};
use crate::cpu_policy::GuestMode;
use crate::domain::context::{Callback, ReturnFault};
use crate::hypercall;
use crate::registers::{Registers, entry, has_error_code, rflags};
use guest_abi::segment::{FLAT_RING3_CS32, FLAT_RING3_SS};
use x86_64::instructions::interrupts;

/// Exception vectors.
#[allow(missing_docs)]
pub(in crate::arch) mod vector {
    pub(crate) const DEBUG: u32 = 1;
    pub(crate) const NMI: u32 = 2;
    pub(crate) const INVALID_OPCODE: u32 = 6;
    pub(crate) const DEVICE_NOT_AVAILABLE: u32 = 7;
    pub(crate) const GENERAL_PROTECTION: u32 = 13;
    pub(crate) const PAGE_FAULT: u32 = 14;
    pub(crate) const SYSTEM_CALL_GATE: u32 = 0x80;
}

/// Every entry from a guest arrives here, interrupts off. When it returns, a guest may run, and interrupts are off
/// again; `true` if SYSRET can express its frame.
pub(in crate::arch) extern "C" fn guest_entry(frame: *mut Registers) -> bool {
    // SAFETY: trap_entry.S passes the frame of this processor's CpuInfo, and nobody else holds it.
    let info = unsafe { CpuInfo::of_frame(frame) };
    let Some(mut guest) = Guest::of(info) else {
        unreachable!("an entry from a guest while none runs");
    };
    match guest.registers.vector {
        entry::SYSCALL if guest.context.is_kernel() => {
            interrupts::enable();
            hypercall::enter(&mut guest);
        }
        entry::SYSCALL => system_call(&mut guest),
        vector if vector < 32 => {
            let result = exception(&mut guest);
            settle(&mut guest, result);
        }
        _ => rarer_entry(&mut guest),
    }
    exit::finish(info)
}

/// Entries that are neither by SYSCALL from 64-bit code nor exceptions.
#[inline(never)]
fn rarer_entry(guest: &mut Guest<'_>) {
    let result = match guest.registers.vector {
        entry::SYSCALL32 => from_user(guest, |callbacks| callbacks.syscall32, FLAT_RING3_CS32),
        entry::SYSENTER => sysenter(guest),
        entry::RETURN_FAULT => return_fault(guest),
        vector::SYSTEM_CALL_GATE => exception(guest),
        vector => return traps::interrupt(vector as u8),
    };
    settle(guest, result);
}

/// Ends the domain if its kernel can't take what it was given.
#[inline]
fn settle(guest: &mut Guest<'_>, result: Result<(), CannotDeliver>) {
    #[cold]
    fn crash(guest: &mut Guest<'_>, error: CannotDeliver) {
        let vector = guest.registers.vector;
        let vcpu = guest.vcpu.clone();
        guest.domain.crash(
            &vcpu,
            format_args!(
                "entry {vector:#x} (error code {:#x}) at {:#x} can't be delivered: {error}",
                guest.registers.error_code, guest.registers.rip
            ),
        );
    }
    if let Err(error) = result {
        crash(guest, error);
    }
}

/// SYSCALL of 64-bit user code.
#[inline(never)]
fn system_call(guest: &mut Guest<'_>) {
    let result = match guest.context.callbacks.syscall {
        to if to.is_set() => {
            let clears = bounce::ENTRY_CLEARS | rflags::DIRECTION;
            bounce::deliver(guest, to, None, clears)
        }
        _ => {
            // As if the instruction did not exist.
            guest.registers.rip = guest.registers.rip.wrapping_sub(2);
            deliver_exception(guest, vector::INVALID_OPCODE, 0)
        }
    };
    settle(guest, result);
}

/// System calls of 32-bit processes.
fn from_user(
    guest: &mut Guest<'_>,
    which: impl Fn(&crate::domain::context::Callbacks) -> Callback,
    cs: u16,
) -> Result<(), CannotDeliver> {
    let to = which(&guest.context.callbacks);
    if guest.context.is_kernel() || !to.is_set() {
        guest.registers.rip = guest.registers.rip.wrapping_sub(2);
        return deliver_exception(guest, vector::INVALID_OPCODE, 0);
    }
    guest.registers.cs = u64::from(cs);
    let clears = bounce::ENTRY_CLEARS | rflags::DIRECTION;
    bounce::deliver(guest, to, None, clears)
}

fn sysenter(guest: &mut Guest<'_>) -> Result<(), CannotDeliver> {
    let to = guest.context.callbacks.sysenter;
    guest.registers.ss = u64::from(FLAT_RING3_SS);
    if guest.context.is_kernel() || !to.is_set() {
        return deliver_exception(guest, vector::GENERAL_PROTECTION, 0);
    }
    bounce::deliver(guest, to, None, bounce::ENTRY_CLEARS)
}

/// The processor refused the guest's own frame: the exception is the guest's, where it wanted to go.
fn return_fault(guest: &mut Guest<'_>) -> Result<(), CannotDeliver> {
    let fault = guest.context.return_fault.take();
    let ReturnFault { vector, error_code } = fault.unwrap_or(ReturnFault {
        vector: vector::GENERAL_PROTECTION as u8,
        error_code: 0,
    });
    if u32::from(vector) == vector::PAGE_FAULT {
        // Of a descriptor that the frame names: of all that a return touches, only those may be missing.
        let address = traps::cr2();
        interrupts::enable();
        return page_fault::handle(guest, address, error_code);
    }
    deliver_exception(guest, u32::from(vector), error_code)
}

/// An exception in the guest: the hypervisor's to mend, or the guest's own.
#[inline(never)]
fn exception(guest: &mut Guest<'_>) -> Result<(), CannotDeliver> {
    let (vector, error_code) = (guest.registers.vector, guest.registers.error_code);
    let address = if vector == vector::PAGE_FAULT {
        traps::cr2()
    } else {
        0
    };
    guest
        .vcpu
        .history
        .raised(vector, address, error_code, guest.registers.rip);
    match vector {
        vector::PAGE_FAULT => {
            interrupts::enable();
            return page_fault::handle(guest, address, error_code);
        }
        vector::DEBUG => debug::take_hardware_status(guest.context),
        vector::DEVICE_NOT_AVAILABLE if !fpu::is_guests_own_trap(guest.context) => {
            return Ok(());
        }
        vector::GENERAL_PROTECTION => {
            interrupts::enable();
            if software_interrupt(guest, error_code)?
                || (error_code == 0 && emulation::privileged(guest)?)
            {
                return Ok(());
            }
        }
        vector::INVALID_OPCODE => {
            interrupts::enable();
            if emulation::forced(guest)? {
                return Ok(());
            }
        }
        vector::SYSTEM_CALL_GATE => {
            let handler = guest.context.traps[vector::SYSTEM_CALL_GATE as usize];
            if handler.address.0 == 0 {
                guest.registers.rip = guest.registers.rip.wrapping_sub(2);
                return deliver_exception(
                    guest,
                    vector::GENERAL_PROTECTION,
                    (vector::SYSTEM_CALL_GATE << 3) | 2,
                );
            }
        }
        _ => {}
    }
    deliver_exception(guest, vector, error_code)
}

/// `INT n`, which the hypervisor's own gates refuse: delivered if the guest's allow it.
fn software_interrupt(guest: &mut Guest<'_>, error_code: u32) -> Result<bool, CannotDeliver> {
    // From the descriptor table, not from outside: bit 1 set, bit 0 clear.
    if error_code & 3 != 2 {
        return Ok(false);
    }
    let vector = (error_code >> 3) & 0xff;
    let handler = guest.context.traps[vector as usize];
    let needed = match guest.context.mode {
        GuestMode::Kernel => 1,
        GuestMode::User => 3,
    };
    if handler.dpl < needed || handler.address.0 == 0 {
        return Ok(false);
    }
    guest.registers.rip = guest.registers.rip.wrapping_add(2);
    let to = Callback {
        address: handler.address,
        mask: handler.mask,
    };
    bounce::deliver(guest, to, None, bounce::ENTRY_CLEARS)?;
    Ok(true)
}

/// Delivers exception `vector` to the guest's handler.
pub(in crate::arch) fn deliver_exception(
    guest: &mut Guest<'_>,
    vector: u32,
    error_code: u32,
) -> Result<(), CannotDeliver> {
    let Some(handler) = guest.context.traps.get(vector as usize).copied() else {
        return Err(CannotDeliver::NoHandler);
    };
    if vector == vector::DEVICE_NOT_AVAILABLE {
        fpu::clear_guest_trap(guest.context);
    }
    let to = Callback {
        address: handler.address,
        mask: handler.mask,
    };
    let error_code = has_error_code(vector).then_some(error_code);
    bounce::deliver(guest, to, error_code, bounce::ENTRY_CLEARS)
}

/// Delivers a page fault: the address first, where the guest's handler looks for it.
pub(in crate::arch) fn deliver_page_fault(
    guest: &mut Guest<'_>,
    address: u64,
    error_code: u32,
) -> Result<(), CannotDeliver> {
    const USER: u32 = 1 << 2;
    guest.vcpu.info().set_cr2(address);
    // Both halves of the guest run in ring 3; the guest wants to know which it was.
    let error_code = if guest.context.is_kernel() {
        error_code & !USER
    } else {
        error_code | USER
    };
    deliver_exception(guest, vector::PAGE_FAULT, error_code)
}
