//! Changing the processor state of the guest that runs, for hypercalls and emulation alike.

use super::switch;
use crate::arch::{debug, features, fpu, heap, msr, tables};
use crate::cpu_policy::control;
use crate::cpu_policy::debug::DebugError;
use crate::cpu_policy::iopl::Iopl;
use crate::domain::Domain;
use crate::domain::context::{Callback, Context, EventMask, TrapHandler, is_canonical};
use crate::registers::rflags;
use alloc::boxed::Box;
use guest_abi::errno::Errno;
use guest_abi::ids::{Mfn, Vaddr, VcpuId};
use guest_abi::trap::TrapFlags;
use guest_abi::vcpu_context::{ContextFlags, VcpuGuestContext};

impl From<DebugError> for Errno {
    fn from(error: DebugError) -> Self {
        match error {
            DebugError::NoRegister => Self::ENODEV,
            DebugError::BadAddress | DebugError::NotPermitted => Self::EPERM,
            DebugError::UpperBits => Self::EINVAL,
        }
    }
}

/// Sets or clears the virtual CR0.TS.
pub(crate) fn set_task_switched(context: &mut Context, is_set: bool) {
    fpu::set_guest_trap(context, is_set);
}

/// Sets a debug register.
pub(crate) fn set_debug_register(
    context: &mut Context,
    number: u32,
    value: u64,
) -> Result<(), DebugError> {
    debug::set(context, number, value)
}

/// Reads a debug register.
pub(crate) fn debug_register(context: &Context, number: u32) -> Result<u64, DebugError> {
    context.debug.get(number, context.cr4)
}

/// Sets a base that is in use now. `base` is canonical.
fn set_base(register: u32, base: u64) {
    debug_assert!(is_canonical(base));
    // SAFETY: the register exists; callers checked that the base is canonical.
    unsafe { msr::write(register, base) };
}

/// Sets the FS base.
pub(crate) fn set_fs_base(base: u64) {
    set_base(msr::FS_BASE, base);
}

/// Sets the GS base of the mode that the guest is in.
pub(crate) fn set_gs_base(base: u64) {
    set_base(msr::GS_BASE, base);
}

/// Sets the GS base of the other mode.
pub(crate) fn set_other_gs_base(base: u64) {
    set_base(msr::KERNEL_GS_BASE, base);
}

/// Bases in use now: FS, GS, and GS of the other mode.
pub(crate) fn bases() -> (u64, u64, u64) {
    // SAFETY: the registers exist in long mode.
    unsafe {
        (
            msr::read(msr::FS_BASE),
            msr::read(msr::GS_BASE),
            msr::read(msr::KERNEL_GS_BASE),
        )
    }
}

/// Loads the user GS selector of a guest kernel.
pub(crate) fn set_user_gs_selector(context: &mut Context, selector: u16) {
    switch::load_user_gs(context, selector);
}

/// Goes from the guest's kernel to its user space. `false` if there are no page tables for it.
pub(crate) fn to_user(context: &mut Context) -> bool {
    switch::to_user(context)
}

/// Sets the guest's CR4.
pub(crate) fn set_cr4(context: &mut Context, domain: &Domain, value: u64) {
    context.cr4 = control::write_cr4(domain.policy(), value);
    switch::load_control_registers(context);
}

/// The guest's CR4 as it reads it.
pub(crate) fn cr4(context: &Context) -> u64 {
    control::read_cr4(features::hypervisor_cr4(), context.cr4)
}

/// A context from what a guest or tool wrote. The page tables it names are taken by whoever calls.
pub(crate) fn context_from(
    domain: &Domain,
    wish: &VcpuGuestContext,
) -> Result<Box<Context>, Errno> {
    let addresses = [
        Vaddr(wish.user_regs.rip),
        wish.event_callback_eip,
        wish.failsafe_callback_eip,
        wish.syscall_callback_eip,
    ];
    let bases = [wish.fs_base, wish.gs_base_kernel, wish.gs_base_user];
    let is_sound = addresses.iter().all(|at| is_canonical(at.0))
        && bases.iter().all(|&base| is_canonical(base));
    if !is_sound
        || wish.gdt_ents > 7168
        || wish.ldt_ents > 8192
        || !wish.ldt_base.0.is_multiple_of(4096)
    {
        return Err(Errno::EINVAL);
    }
    let context = Context::new(Mfn::of_address(wish.ctrlreg[3]));
    let mut context = heap::try_box(context).ok_or(Errno::ENOMEM)?;
    let mask = |is_set| {
        if is_set {
            EventMask::Mask
        } else {
            EventMask::Keep
        }
    };
    for (handler, entry) in context.traps.iter_mut().zip(&wish.trap_ctxt) {
        if !is_canonical(entry.address.0) {
            return Err(Errno::EINVAL);
        }
        *handler = TrapHandler {
            address: entry.address,
            cs: entry.cs | 3,
            dpl: entry.flags.bits() & 3,
            mask: mask(entry.flags.contains(TrapFlags::MASK_EVENTS)),
        };
    }
    context.callbacks.event = Callback {
        address: wish.event_callback_eip,
        mask: EventMask::Mask,
    };
    context.callbacks.failsafe = Callback {
        address: wish.failsafe_callback_eip,
        mask: mask(wish.flags.contains(ContextFlags::FAILSAFE_DISABLES_EVENTS)),
    };
    context.callbacks.syscall = Callback {
        address: wish.syscall_callback_eip,
        mask: mask(wish.flags.contains(ContextFlags::SYSCALL_DISABLES_EVENTS)),
    };
    let user = &wish.user_regs;
    let to = &mut context.registers;
    (to.r15, to.r14, to.r13, to.r12) = (user.r15, user.r14, user.r13, user.r12);
    (to.rbp, to.rbx, to.r11, to.r10) = (user.rbp, user.rbx, user.r11, user.r10);
    (to.r9, to.r8, to.rax, to.rcx) = (user.r9, user.r8, user.rax, user.rcx);
    (to.rdx, to.rsi, to.rdi, to.rip, to.rsp) = (user.rdx, user.rsi, user.rdi, user.rip, user.rsp);
    to.cs = u64::from(user.cs | 3);
    to.ss = u64::from(user.ss | 3);
    (to.ds, to.es) = (u64::from(user.ds), u64::from(user.es));
    (to.fs, to.gs) = (u64::from(user.fs), u64::from(user.gs));
    to.rflags = user.rflags & rflags::GUEST | rflags::INTERRUPT | rflags::FIXED;
    context.iopl = Iopl::of_rflags(user.rflags);
    context.kernel_stack = (wish.kernel_ss as u16 | 3, wish.kernel_sp);
    context.bases.fs = wish.fs_base;
    context.bases.gs_kernel = wish.gs_base_kernel;
    context.bases.gs_user = wish.gs_base_user;
    context.cr4 = control::write_cr4(domain.policy(), wish.ctrlreg[4]);
    context.is_task_switched = wish.ctrlreg[0] & control::CR0_TS != 0;
    if wish.ctrlreg[1] != 0 {
        context.user_root = Some(Mfn::of_address(wish.ctrlreg[1]));
    }
    for (number, &value) in (0u32..).zip(&wish.debugreg) {
        if number != 4 && number != 5 {
            // What is not allowed is left out, as the reference does for a starting vCPU.
            let _ = context.debug.set(number, value, context.cr4);
        }
    }
    context.tables.gdt_entries = wish.gdt_ents as u32;
    for (to, &from) in context.tables.gdt.iter_mut().zip(&wish.gdt_frames) {
        *to = Mfn(from);
    }
    context.tables.ldt_base = Vaddr(wish.ldt_base.0);
    context.tables.ldt_entries = wish.ldt_ents as u32;
    if wish.flags.contains(ContextFlags::I387_VALID) {
        let image = heap::try_box(wish.fpu_ctxt).ok_or(Errno::ENOMEM)?;
        context.initial_fpu = Some(image);
    }
    if !wish.flags.contains(ContextFlags::IN_KERNEL) {
        context.mode = crate::cpu_policy::GuestMode::User;
    }
    Ok(context)
}

/// Loads the guest's root anew, after it or something below it that processors cache has changed.
pub(crate) fn reload_root(context: &Context) {
    switch::reload_root(context);
}

/// Loads the guest's LDT anew.
pub(crate) fn reload_ldt(context: &Context, vcpu: VcpuId) {
    // SAFETY: the area of the running vCPU, whose GDT is loaded.
    unsafe { tables::load_ldt(switch::gdt_address(vcpu), context.tables.ldt_entries) };
}
