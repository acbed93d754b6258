//! A vCPU's state as tools read it: the opposite of [`super::state::context_from`].

use super::state::cr4;
use crate::arch::fpu;
use crate::arch::heap;
use crate::domain::context::{Context, EventMask};
use crate::domain::{Domain, Vcpu};
use alloc::boxed::Box;
use guest_abi::ids::{Mfn, VcpuId};
use guest_abi::trap::TrapFlags;
use guest_abi::vcpu_context::{ContextFlags, VcpuGuestContext};
use x86_64::registers::control::{Cr0, Cr0Flags};
use zerocopy::FromZeros;

/// The image of a context that nobody runs. `None`: no memory.
pub(crate) fn image_of(
    domain: &Domain,
    vcpu: &Vcpu,
    context: &mut Context,
) -> Option<Box<VcpuGuestContext>> {
    let mut image = heap::try_box(VcpuGuestContext::new_zeroed())?;
    fpu::copy_state(vcpu, context, &mut image.fpu_ctxt);
    let mut flags = ContextFlags::I387_VALID;
    flags.set(ContextFlags::IN_KERNEL, context.is_kernel());
    flags.set(ContextFlags::ONLINE, vcpu.run.is_up());
    let masks = |callback: crate::domain::context::Callback| callback.mask == EventMask::Mask;
    flags.set(
        ContextFlags::FAILSAFE_DISABLES_EVENTS,
        masks(context.callbacks.failsafe),
    );
    flags.set(
        ContextFlags::SYSCALL_DISABLES_EVENTS,
        masks(context.callbacks.syscall),
    );
    image.flags = flags;
    registers(&mut image, context);
    for (to, from) in image.trap_ctxt.iter_mut().zip(&context.traps) {
        to.address = from.address;
        to.cs = from.cs;
        let mask = if from.mask == EventMask::Mask {
            TrapFlags::MASK_EVENTS
        } else {
            TrapFlags::empty()
        };
        to.flags = mask | TrapFlags::from_bits_retain(from.dpl);
    }
    image.ldt_base = context.tables.ldt_base;
    image.ldt_ents = context.tables.ldt_entries.into();
    image.gdt_ents = context.tables.gdt_entries.into();
    for (to, from) in image.gdt_frames.iter_mut().zip(context.tables.gdt_frames()) {
        *to = from.0;
    }
    let (kernel_ss, kernel_sp) = context.kernel_stack;
    image.kernel_ss = kernel_ss.into();
    image.kernel_sp = kernel_sp;
    let task_switched = Cr0Flags::TASK_SWITCHED.bits();
    image.ctrlreg[0] = Cr0::read_raw() & !task_switched
        | if context.is_task_switched {
            task_switched
        } else {
            0
        };
    image.ctrlreg[1] = context.user_root.map_or(0, Mfn::address);
    image.ctrlreg[3] = context.kernel_root.address();
    image.ctrlreg[4] = cr4(context);
    for (number, to) in (0..).zip(&mut image.debugreg) {
        if number != 4 && number != 5 {
            *to = context.debug.get(number, context.cr4).unwrap_or(0);
        }
    }
    image.event_callback_eip = context.callbacks.event.address;
    image.failsafe_callback_eip = context.callbacks.failsafe.address;
    image.syscall_callback_eip = context.callbacks.syscall.address;
    if vcpu.id() == VcpuId(0) {
        image.vm_assist = domain.assists();
    }
    image.fs_base = context.bases.fs;
    image.gs_base_kernel = context.bases.gs_kernel;
    image.gs_base_user = context.bases.gs_user;
    Some(image)
}

fn registers(image: &mut VcpuGuestContext, context: &Context) {
    let (to, from) = (&mut image.user_regs, &context.registers);
    (to.r15, to.r14, to.r13, to.r12) = (from.r15, from.r14, from.r13, from.r12);
    (to.rbp, to.rbx, to.r11, to.r10) = (from.rbp, from.rbx, from.r11, from.r10);
    (to.r9, to.r8, to.rax, to.rcx) = (from.r9, from.r8, from.rax, from.rcx);
    (to.rdx, to.rsi, to.rdi, to.rip, to.rsp) = (from.rdx, from.rsi, from.rdi, from.rip, from.rsp);
    (to.cs, to.ss) = (from.cs as u16, from.ss as u16);
    (to.ds, to.es) = (from.ds as u16, from.es as u16);
    (to.fs, to.gs) = (from.fs as u16, from.gs as u16);
    to.rflags = from.rflags | context.iopl.in_rflags();
}
