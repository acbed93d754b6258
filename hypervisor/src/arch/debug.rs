//! Debug registers of the guest that runs.

use crate::cpu_policy::debug::{DebugError, DebugRegisters};
use crate::domain::context::Context;
use crate::registers::{Registers, rflags};
use core::arch::asm;

fn read_dr6() -> u64 {
    let value: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, dr6", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Loads the guest's breakpoints, or none. Called with the guest about to run.
pub(super) fn load(registers: &DebugRegisters) {
    if !registers.is_active() {
        // SAFETY: no breakpoint is enabled.
        unsafe { asm!("mov dr7, {}", in(reg) 0x400u64, options(nomem, nostack, preserves_flags)) };
        return;
    }
    let [a, b, c, d] = registers.addresses();
    // SAFETY: the policy keeps addresses out of the hypervisor, so that nothing traps here.
    unsafe {
        asm!("mov dr0, {}", "mov dr1, {}", "mov dr2, {}", "mov dr3, {}", "mov dr7, {}",
             in(reg) a, in(reg) b, in(reg) c, in(reg) d, in(reg) registers.hardware_dr7(),
             options(nomem, nostack, preserves_flags));
    }
}

/// Switches all breakpoints off: the guest stops running here. Another guest's DR6 would tell when it touches their
/// addresses, enabled or not.
pub(super) fn unload(registers: &DebugRegisters) {
    if registers.is_active() {
        // SAFETY: no breakpoint is enabled, and address 0 is none of the hypervisor's.
        unsafe {
            asm!("mov dr7, {}", "mov dr0, {zero}", "mov dr1, {zero}", "mov dr2, {zero}", "mov dr3, {zero}",
                 in(reg) 0x400u64, zero = in(reg) 0u64, options(nomem, nostack, preserves_flags));
        }
    }
}

/// A debug exception in the hypervisor. Only a guest can have caused it, and there is nothing to do for it:
/// a data breakpoint on memory that it also gave to a hypercall, or on the operand of a MOV SS in front of
/// an instruction that enters the hypervisor; or the trap flag, which SYSENTER does not clear.
///
/// All of these are traps, so the hypervisor goes on behind them. (Breakpoints on code would come again;
/// their addresses are kept out of the hypervisor.)
pub(super) fn raised_by_guest(frame: &mut Registers) {
    clear_status();
    frame.rflags &= !rflags::TRAP;
}

fn clear_status() {
    // SAFETY: clears the status for the next exception; the fixed bits are as after reset.
    unsafe {
        asm!("mov dr6, {}", in(reg) 0xffff_0ff0u64, options(nomem, nostack, preserves_flags))
    };
}

/// A debug exception in the guest: what it reports goes to the guest's own DR6.
pub(super) fn take_hardware_status(context: &mut Context) {
    let status = read_dr6();
    clear_status();
    context.debug.report(status & 0xe00f);
}

/// The guest that runs sets debug register `number`.
pub(super) fn set(context: &mut Context, number: u32, value: u64) -> Result<(), DebugError> {
    let before = context.debug;
    context.debug.set(number, value, context.cr4)?;
    if context.debug.is_active() {
        load(&context.debug);
    } else {
        // Nobody would take the addresses away later: the guest has no breakpoints then.
        unload(&before);
    }
    Ok(())
}
