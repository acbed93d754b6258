//! vCPU contexts.

#![forbid(unsafe_code)]

use super::{Answer, Done, is_self, other_vcpu, possible_vcpu, vcpu};
use crate::arch::guest::running::Guest;
use crate::arch::guest::{saved, state};
use crate::arch::scheduler;
use crate::domain::context::Context;
use crate::domain::control::{Stopped, Wanted};
use crate::domain::{Domain, Vcpu};
use crate::hypercall::mmu::Refusal;
use crate::hypercall::{read_boxed, vcpu_op, write};
use crate::sched::setup::Found;
use alloc::boxed::Box;
use alloc::sync::Arc;
use guest_abi::domctl::Domctl;
use guest_abi::domctl_vcpu::{VcpuContext, VcpuState};
use guest_abi::errno::Errno;
use guest_abi::ids::VcpuId;
use guest_abi::vcpu_context::{ContextFlags, VcpuGuestContext};

pub(super) fn set(guest: &Guest<'_>, wish: &Domctl, domain: &Arc<Domain>) -> Answer {
    let VcpuContext {
        vcpu: number, ctxt, ..
    } = wish.u.read();
    if is_self(guest, domain) || domain.is_ending() {
        return Err(Errno::EINVAL);
    }
    let vcpu = vcpu(domain, number, Errno::EINVAL)?;
    let image: Option<Box<VcpuGuestContext>> = match ctxt.0 {
        0 => None,
        at => Some(read_boxed(at)?),
    };
    let is_online = |image: &VcpuGuestContext| image.flags.contains(ContextFlags::ONLINE);
    if image.as_deref().is_some_and(is_online) && !vcpu.has_info() {
        return Err(Errno::EINVAL);
    }
    let _stopped = match Stopped::wait(vcpu) {
        Ok(stopped) => stopped,
        Err(Wanted) => return Ok(Done::Again),
    };
    match image {
        None => reset(domain, vcpu),
        Some(image) if vcpu.is_initialised() => change(domain, vcpu, &image),
        Some(image) => initialise(domain, vcpu, &image),
    }
}

/// The vCPU is as if it had been made now.
fn reset(domain: &Domain, vcpu: &Arc<Vcpu>) -> Answer {
    // In this order: another vCPU may be bringing it up, or setting it up.
    match vcpu.close() {
        Found::Nothing => {
            vcpu.forget_wishes();
            return Ok(Done::Quietly);
        }
        Found::BeingSetUp => return Ok(Done::Again),
        Found::State => domain.hold_down(vcpu),
    }
    match domain.empty_vcpu(vcpu) {
        Ok(()) => Ok(Done::Quietly),
        Err(_) => Ok(Done::Again),
    }
}

fn initialise(domain: &Arc<Domain>, vcpu: &Arc<Vcpu>, image: &VcpuGuestContext) -> Answer {
    match vcpu_op::initialise(domain, vcpu, image) {
        Ok(()) => {}
        Err(Refusal::Preempted) => return Ok(Done::Again),
        Err(Refusal::Errno(errno)) => return Err(errno),
    }
    if vcpu.id() == VcpuId(0) {
        domain.set_assists(image.vm_assist);
    }
    bring(domain, vcpu, image.flags);
    Ok(Done::Quietly)
}

/// Changes what does not involve memory; what does must be as it is.
fn change(domain: &Arc<Domain>, vcpu: &Arc<Vcpu>, image: &VcpuGuestContext) -> Answer {
    let mut new = state::context_from(domain, image)?;
    let Some(old) = vcpu.take_context() else {
        return Ok(Done::Again);
    };
    if !is_same_memory(&old, &new) {
        vcpu.put_context(old);
        return Err(Errno::EOPNOTSUPP);
    }
    // The references stay with whoever has the numbers.
    new.ldt_pages = old.ldt_pages;
    // What an image has no room for.
    new.callbacks.syscall32 = old.callbacks.syscall32;
    new.callbacks.sysenter = old.callbacks.sysenter;
    new.xcr0 = old.xcr0;
    new.io_bitmap = old.io_bitmap;
    new.is_nmi_masked = old.is_nmi_masked;
    new.tsc_aux = old.tsc_aux;
    new.is_area_due = old.is_area_due;
    if new.initial_fpu.is_none() {
        new.initial_fpu = old.initial_fpu;
    }
    vcpu.put_context(new);
    bring(domain, vcpu, image.flags);
    Ok(Done::Quietly)
}

fn is_same_memory(old: &Context, new: &Context) -> bool {
    old.kernel_root == new.kernel_root
        && old.user_root == new.user_root
        && old.tables.gdt_entries == new.tables.gdt_entries
        && old.tables.gdt_frames() == new.tables.gdt_frames()
        && old.tables.ldt_base == new.tables.ldt_base
        && old.tables.ldt_entries == new.tables.ldt_entries
}

/// Up or down, as the image says.
fn bring(domain: &Domain, vcpu: &Arc<Vcpu>, flags: ContextFlags) {
    let is_up = flags.contains(ContextFlags::ONLINE) && domain.bring_up(vcpu).is_ok();
    if !is_up {
        domain.hold_down(vcpu);
    }
}

pub(super) fn get(guest: &Guest<'_>, wish: &Domctl, domain: &Arc<Domain>) -> Answer {
    let VcpuContext {
        vcpu: number, ctxt, ..
    } = wish.u.read();
    let vcpu = other_vcpu(guest, domain, number, Errno::EINVAL)?;
    if !vcpu.is_initialised() {
        return Err(Errno::ENODATA);
    }
    let image = match with_context(vcpu, |context| saved::image_of(domain, vcpu, context)) {
        Ok(image) => image.ok_or(Errno::ENOMEM)?,
        Err(Wanted) => return Ok(Done::Again),
    };
    write(ctxt.0, &*image)?;
    Ok(Done::WithAnswer)
}

/// Does `work` with the context of a vCPU that is stopped meanwhile.
pub(super) fn with_context<R>(
    vcpu: &Arc<Vcpu>,
    work: impl FnOnce(&mut Context) -> R,
) -> Result<R, Wanted> {
    let _stopped = Stopped::wait(vcpu)?;
    let mut context = vcpu.take_context().ok_or(Wanted)?;
    let result = work(&mut context);
    vcpu.put_context(context);
    Ok(result)
}

pub(super) fn describe(wish: &mut Domctl, domain: &Domain) -> Answer {
    let mut state: VcpuState = wish.u.read();
    let vcpu = possible_vcpu(domain, state.vcpu)?;
    state.online = vcpu.run.is_up().into();
    state.blocked = vcpu.run.is_blocked().into();
    state.running = vcpu.is_on_processor().into();
    state.cpu_time = vcpu.cpu_time_ns(scheduler::now_ns());
    state.cpu = vcpu.processor();
    wish.u.write(&state);
    Ok(Done::WithAnswer)
}
