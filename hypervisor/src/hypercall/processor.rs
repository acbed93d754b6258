//! Hypercalls that set the calling vCPU's processor state: handlers, entry points, stacks, segment bases,
//! debug registers, and the way back from an exception.

#![forbid(unsafe_code)]

use super::{Answer, Outcome, read};
use crate::arch::guest::running::Guest;
use crate::arch::guest::state;
use crate::domain::context::{Callback, EventMask, TrapHandler, is_canonical};
use crate::registers::rflags;
use core::mem::size_of;
use guest_abi::callback_op::{
    CallbackFlags, CallbackOp, CallbackRegister, CallbackType, CallbackUnregister,
};
use guest_abi::errno::Errno;
use guest_abi::ids::Vaddr;
use guest_abi::segment::{FLAT_RING3_CS64, SegmentBase};
use guest_abi::trap::{IretFlags, IretFrame, NR_VECTORS, TrapFlags, TrapInfo};
use guest_abi::vm_assist::{VmAssist, VmAssistCommand};

/// Registers exception handlers; a null list removes all of them.
pub(super) fn set_trap_table(guest: &mut Guest<'_>, list: u64) -> Answer {
    if list == 0 {
        guest.context.traps = [TrapHandler::NONE; NR_VECTORS];
        return Ok(0);
    }
    // The list ends at an address of 0; one longer than there are vectors says something twice.
    for index in 0..=NR_VECTORS as u64 {
        let at = list
            .checked_add(index * size_of::<TrapInfo>() as u64)
            .ok_or(Errno::EFAULT)?;
        let entry: TrapInfo = read(at)?;
        if entry.address.0 == 0 {
            return Ok(0);
        }
        if !is_canonical(entry.address.0) {
            return Err(Errno::EINVAL);
        }
        let mask = if entry.flags.contains(TrapFlags::MASK_EVENTS) {
            EventMask::Mask
        } else {
            EventMask::Keep
        };
        guest.context.traps[usize::from(entry.vector)] = TrapHandler {
            address: entry.address,
            cs: entry.cs | 3,
            dpl: entry.flags.bits() & 3,
            mask,
        };
    }
    Ok(0)
}

pub(super) fn stack_switch(guest: &mut Guest<'_>, ss: u64, rsp: u64) -> Answer {
    guest.context.kernel_stack = (ss as u16 | 3, Vaddr(rsp));
    Ok(0)
}

pub(super) fn fpu_taskswitch(guest: &mut Guest<'_>, is_set: u64) -> Answer {
    state::set_task_switched(guest.context, is_set != 0);
    Ok(0)
}

pub(super) fn set_debugreg(guest: &mut Guest<'_>, register: u64, value: u64) -> Answer {
    let register = u32::try_from(register).map_err(|_| Errno::EINVAL)?;
    state::set_debug_register(guest.context, register, value).map_err(Errno::from)?;
    Ok(0)
}

pub(super) fn get_debugreg(guest: &Guest<'_>, register: u64) -> Answer {
    let register = u32::try_from(register).map_err(|_| Errno::EINVAL)?;
    state::debug_register(guest.context, register).map_err(Errno::from)
}

pub(super) fn set_segment_base(guest: &mut Guest<'_>, which: u64, value: u64) -> Answer {
    let which = u32::try_from(which)
        .ok()
        .and_then(|which| SegmentBase::try_from(which).ok())
        .ok_or(Errno::EINVAL)?;
    if which != SegmentBase::GsUserSelector && !is_canonical(value) {
        return Err(Errno::EINVAL);
    }
    match which {
        SegmentBase::Fs => state::set_fs_base(value),
        SegmentBase::GsUser => state::set_other_gs_base(value),
        SegmentBase::GsKernel => state::set_gs_base(value),
        SegmentBase::GsUserSelector => state::set_user_gs_selector(guest.context, value as u16),
    }
    Ok(0)
}

/// Registers or removes an entry point.
pub(super) fn callback_op(guest: &mut Guest<'_>, operation: u64, argument: u64) -> Answer {
    let operation = u32::try_from(operation)
        .ok()
        .and_then(|op| CallbackOp::try_from(op).ok())
        .ok_or(Errno::ENOSYS)?;
    let (kind, callback) = match operation {
        CallbackOp::Register => {
            let wish: CallbackRegister = read(argument)?;
            let mask = if wish.flags.contains(CallbackFlags::MASK_EVENTS) {
                EventMask::Mask
            } else {
                EventMask::Keep
            };
            (
                wish.callback_type,
                Callback {
                    address: wish.address,
                    mask,
                },
            )
        }
        CallbackOp::Unregister => {
            let wish: CallbackUnregister = read(argument)?;
            (wish.callback_type, Callback::NONE)
        }
    };
    if !is_canonical(callback.address.0) {
        return Err(Errno::EINVAL);
    }
    let is_removed = operation == CallbackOp::Unregister;
    let callbacks = &mut guest.context.callbacks;
    let slot = match CallbackType::try_from(kind) {
        // These can be replaced only.
        Ok(
            CallbackType::Event
            | CallbackType::Failsafe
            | CallbackType::Syscall
            | CallbackType::Syscall32
            | CallbackType::Sysenter,
        ) if is_removed => return Err(Errno::EINVAL),
        Ok(CallbackType::Event) => &mut callbacks.event,
        Ok(CallbackType::Failsafe) => &mut callbacks.failsafe,
        Ok(CallbackType::Syscall) => &mut callbacks.syscall,
        Ok(CallbackType::Syscall32) => &mut callbacks.syscall32,
        Ok(CallbackType::Sysenter) => &mut callbacks.sysenter,
        Ok(CallbackType::Nmi) => {
            guest.context.traps[2] = TrapHandler {
                address: callback.address,
                cs: FLAT_RING3_CS64,
                dpl: 0,
                mask: callback.mask,
            };
            return Ok(0);
        }
        Ok(CallbackType::SysenterDeprecated) | Err(_) => return Err(Errno::ENOSYS),
    };
    *slot = callback;
    Ok(0)
}

pub(super) fn vm_assist(guest: &Guest<'_>, command: u64, assist: u64) -> Answer {
    let command = u32::try_from(command)
        .ok()
        .and_then(|word| VmAssistCommand::try_from(word).ok())
        .ok_or(Errno::ENOSYS)?;
    let assist = u32::try_from(assist)
        .ok()
        .and_then(|word| VmAssist::try_from(word).ok())
        .ok_or(Errno::EINVAL)?;
    guest
        .domain
        .set_assist(assist, command == VmAssistCommand::Enable);
    Ok(0)
}

/// Goes on where the frame on the guest kernel's stack says.
pub(super) fn iret(guest: &mut Guest<'_>) -> Outcome {
    let Ok(frame) = read::<IretFrame>(guest.registers.rsp) else {
        let vcpu = guest.vcpu.clone();
        guest.domain.crash(
            &vcpu,
            format_args!(
                "iret: its frame at {:#x} can't be read",
                guest.registers.rsp
            ),
        );
        return Outcome::Resume;
    };
    let is_user = frame.cs & 3 == 3;
    if is_user && !state::to_user(guest.context) {
        let vcpu = guest.vcpu.clone();
        guest.domain.crash(
            &vcpu,
            format_args!("iret to user space without page tables for it"),
        );
        return Outcome::Resume;
    }
    if guest.domain.has_architectural_iopl() {
        guest.context.iopl = crate::cpu_policy::iopl::Iopl::of_rflags(frame.rflags);
    }
    let registers = &mut *guest.registers;
    registers.rip = frame.rip;
    registers.cs = frame.cs & 0xffff | 3;
    registers.rflags = frame.rflags & rflags::GUEST | rflags::INTERRUPT | rflags::FIXED;
    registers.rsp = frame.rsp;
    registers.ss = frame.ss & 0xffff | 3;
    registers.rax = frame.rax;
    if !frame.flags.contains(IretFlags::IN_SYSCALL) {
        registers.r11 = frame.r11;
        registers.rcx = frame.rcx;
    }
    guest
        .vcpu
        .info()
        .set_upcall_mask(u8::from(frame.rflags & rflags::INTERRUPT == 0));
    guest.context.is_nmi_masked = false;
    Outcome::Resume
}
