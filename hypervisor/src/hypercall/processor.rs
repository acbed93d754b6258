//! Hypercalls that set the calling vCPU's processor state: handlers, entry points, stacks, segment bases,
//! debug registers, and the way back from an exception.

#![forbid(unsafe_code)]

use super::{Answer, CallersMemory, Outcome, read};
use crate::arch::guest::running::Guest;
use crate::arch::guest::state;
use crate::domain::context::is_canonical;
use crate::domain::entry_points;
use crate::registers::rflags;
use guest_abi::errno::Errno;
use guest_abi::ids::Vaddr;
use guest_abi::segment::SegmentBase;
use guest_abi::trap::IretFrame;
use guest_abi::vm_assist::{VmAssist, VmAssistCommand};

/// Registers exception handlers; a null list removes all of them.
pub(super) fn set_trap_table(guest: &mut Guest<'_>, list: u64) -> Answer {
    entry_points::set_trap_table(&mut guest.context.traps, &CallersMemory, list).map(|()| 0)
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
    entry_points::callback_op(guest.context, &CallersMemory, operation, argument).map(|()| 0)
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
    guest.registers.go_on(&frame);
    guest
        .vcpu
        .info()
        .set_upcall_mask(u8::from(frame.rflags & rflags::INTERRUPT == 0));
    guest.context.is_nmi_masked = false;
    Outcome::Resume
}
