//! A vCPU's state from an image that a guest or a tool wrote.
//!
//! Nothing of the image is trusted: what could fault in the hypervisor, or mean something to its own return to guests, is
//! refused or taken out. The frames that it names are only noted here; whoever is about to use the state takes them.

#![forbid(unsafe_code)]

use super::context::{Callback, Context, EventMask, TrapHandler, is_canonical};
use crate::cpu_policy::iopl::Iopl;
use crate::cpu_policy::{GuestMode, Policy, control};
use crate::registers::rflags;
use guest_abi::errno::Errno;
use guest_abi::ids::{Mfn, PAGE_SIZE, Vaddr};
use guest_abi::segment::{FIRST_RESERVED_GDT_ENTRY, MAX_LDT_ENTRIES};
use guest_abi::trap::{TrapFlags, TrapInfo};
use guest_abi::vcpu_context::{ContextFlags, VcpuGuestContext};

/// Fills `context`, which is [new](Context::new), from an image, for a domain with this policy. Floating-point state is not
/// among it.
///
/// # Errors
/// `EINVAL`: an address that no processor has, a table that is longer than there may be or not at a page's start, or user
/// mode without page tables for it.
pub fn fill(context: &mut Context, policy: &Policy, image: &VcpuGuestContext) -> Result<(), Errno> {
    check(image)?;
    context.kernel_root = Mfn::of_address(image.ctrlreg[3]);
    if image.ctrlreg[1] != 0 {
        context.user_root = Some(Mfn::of_address(image.ctrlreg[1]));
    }
    if !image.flags.contains(ContextFlags::IN_KERNEL) {
        context.mode = GuestMode::User;
    }
    for (handler, entry) in context.traps.iter_mut().zip(&image.trap_ctxt) {
        *handler = trap_handler(entry)?;
    }
    let callback = |address, masks: ContextFlags| Callback {
        address,
        mask: mask(image.flags.contains(masks)),
    };
    context.callbacks.event = Callback {
        address: image.event_callback_eip,
        mask: EventMask::Mask,
    };
    context.callbacks.failsafe = callback(
        image.failsafe_callback_eip,
        ContextFlags::FAILSAFE_DISABLES_EVENTS,
    );
    context.callbacks.syscall = callback(
        image.syscall_callback_eip,
        ContextFlags::SYSCALL_DISABLES_EVENTS,
    );
    registers(context, image);
    context.kernel_stack = (image.kernel_ss as u16 | 3, image.kernel_sp);
    context.bases.fs = image.fs_base;
    context.bases.gs_kernel = image.gs_base_kernel;
    context.bases.gs_user = image.gs_base_user;
    context.cr4 = control::write_cr4(policy, image.ctrlreg[4]);
    context.is_task_switched = image.ctrlreg[0] & control::CR0_TS != 0;
    for (number, &value) in (0u32..).zip(&image.debugreg) {
        if number != 4 && number != 5 {
            // What is not allowed is left out, as the reference does for a starting vCPU.
            let _ = context.debug.set(number, value, context.cr4);
        }
    }
    context.tables.gdt_entries = image.gdt_ents as u32;
    for (to, &from) in context.tables.gdt.iter_mut().zip(&image.gdt_frames) {
        *to = Mfn(from);
    }
    context.tables.ldt_base = image.ldt_base;
    context.tables.ldt_entries = image.ldt_ents as u32;
    Ok(())
}

/// Looks at what can't be set right; the trap handlers are looked at when they are taken.
fn check(image: &VcpuGuestContext) -> Result<(), Errno> {
    let Vaddr(ldt_base) = image.ldt_base;
    let addresses = [
        image.user_regs.rip,
        image.event_callback_eip.0,
        image.failsafe_callback_eip.0,
        image.syscall_callback_eip.0,
        image.fs_base,
        image.gs_base_kernel,
        image.gs_base_user,
        ldt_base,
    ];
    let has_root = image.flags.contains(ContextFlags::IN_KERNEL) || image.ctrlreg[1] != 0;
    let is_sound = addresses.into_iter().all(is_canonical)
        && image.gdt_ents <= FIRST_RESERVED_GDT_ENTRY as u64
        && image.ldt_ents <= u64::from(MAX_LDT_ENTRIES)
        && ldt_base.is_multiple_of(PAGE_SIZE as u64)
        && has_root;
    if is_sound { Ok(()) } else { Err(Errno::EINVAL) }
}

fn mask(is_set: bool) -> EventMask {
    if is_set {
        EventMask::Mask
    } else {
        EventMask::Keep
    }
}

/// An exception handler as a guest describes it.
///
/// # Errors
/// `EINVAL`: an address that no processor has.
pub fn trap_handler(entry: &TrapInfo) -> Result<TrapHandler, Errno> {
    if !is_canonical(entry.address.0) {
        return Err(Errno::EINVAL);
    }
    Ok(TrapHandler {
        address: entry.address,
        cs: entry.cs | 3,
        dpl: (entry.flags & TrapFlags::DPL_MASK).bits(),
        mask: mask(entry.flags.contains(TrapFlags::MASK_EVENTS)),
    })
}

fn registers(context: &mut Context, image: &VcpuGuestContext) {
    let (to, from) = (&mut context.registers, &image.user_regs);
    (to.r15, to.r14, to.r13, to.r12) = (from.r15, from.r14, from.r13, from.r12);
    (to.rbp, to.rbx, to.r11, to.r10) = (from.rbp, from.rbx, from.r11, from.r10);
    (to.r9, to.r8, to.rax, to.rcx) = (from.r9, from.r8, from.rax, from.rcx);
    (to.rdx, to.rsi, to.rdi, to.rip, to.rsp) = (from.rdx, from.rsi, from.rdi, from.rip, from.rsp);
    to.cs = u64::from(from.cs | 3);
    to.ss = u64::from(from.ss | 3);
    (to.ds, to.es) = (u64::from(from.ds), u64::from(from.es));
    (to.fs, to.gs) = (u64::from(from.fs), u64::from(from.gs));
    to.rflags = rflags::for_guest(from.rflags);
    context.iopl = Iopl::of_rflags(from.rflags);
}
