//! Changing the processor state of the guest that runs, for hypercalls and emulation alike.

use super::switch;
use crate::arch::{debug, features, fpu, heap, msr, tables};
use crate::cpu_policy::control;
use crate::cpu_policy::debug::DebugError;
use crate::domain::Domain;
use crate::domain::context::{Context, is_canonical};
use crate::domain::image;
use alloc::boxed::Box;
use guest_abi::errno::Errno;
use guest_abi::ids::{Mfn, VcpuId};
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
    let context = Context::new(Mfn(0));
    let mut context = heap::try_box(context).ok_or(Errno::ENOMEM)?;
    image::fill(&mut context, domain.policy(), wish)?;
    if wish.flags.contains(ContextFlags::I387_VALID) {
        context.initial_fpu = Some(wish.fpu_ctxt);
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
