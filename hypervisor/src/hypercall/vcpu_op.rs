//! vCPU life cycle and timers.

#![forbid(unsafe_code)]

use super::mmu::Refusal;
use super::{Answer, Outcome, admit, read};
use crate::arch::guest::running::Guest;
use crate::arch::guest::{access, areas};
use crate::arch::memory::{self, mm};
use crate::arch::{guest, processors, scheduler, timers};
use crate::control::privilege;
use crate::domain::{Domain, Vcpu};
use crate::event::EventDomain;
use crate::time::vcpu_timers::{self, Action, VcpuTimers};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::mem::size_of;
use guest_abi::errno::Errno;
use guest_abi::ids::{PAGE_SIZE, Vaddr, VcpuId};
use guest_abi::shared_info::VcpuInfo;
use guest_abi::time::{RunstateInfo, VcpuTimeInfo};
use guest_abi::vcpu_context::VcpuGuestContext;
use guest_abi::vcpu_op::{
    GetPhysid, RegisterArea, RegisterTimeArea, RegisterVcpuInfo, SetPeriodicTimer,
    SetSingleshotTimer, VcpuOp,
};

/// Old single-shot timer: an absolute time in ns, 0 for none.
pub(super) fn set_timer_op(guest: &Guest<'_>, timeout: u64) -> Answer {
    set_single(
        guest,
        vcpu_timers::set_timer_op(timeout, scheduler::now_ns()),
    );
    Ok(0)
}

fn set_single(guest: &Guest<'_>, action: Action) {
    let due = timers::change(guest.vcpu, |timers| timers.set_single(action));
    timers::act(guest.vcpu, due);
}

pub(super) fn vcpu_op(guest: &mut Guest<'_>, operation: u64, vcpu: u64, argument: u64) -> Outcome {
    match try_vcpu_op(guest, operation, vcpu, argument) {
        Ok(value) => Ok(value).into(),
        Err(Refusal::Errno(errno)) => Err(errno).into(),
        Err(Refusal::Preempted) => Outcome::again([]),
    }
}

fn try_vcpu_op(
    guest: &mut Guest<'_>,
    operation: u64,
    vcpu: u64,
    argument: u64,
) -> Result<u64, Refusal> {
    let vcpu = u32::try_from(vcpu)
        .ok()
        .and_then(|id| guest.domain.vcpu(VcpuId(id)))
        .ok_or(Errno::ENOENT)?
        .clone();
    let operation = u32::try_from(operation)
        .ok()
        .and_then(|op| VcpuOp::try_from(op).ok())
        .ok_or(Errno::ENOSYS)?;
    let is_self = vcpu.id() == guest.vcpu.id();
    match operation {
        VcpuOp::IsUp => return Ok(u64::from(vcpu.run.is_up())),
        VcpuOp::Initialise => {
            if vcpu.is_initialised() {
                return Err(Errno::EEXIST.into());
            }
            if !vcpu.has_info() {
                return Err(Errno::EINVAL.into());
            }
            let wish: Box<VcpuGuestContext> = super::read_boxed(argument)?;
            initialise(guest.domain, &vcpu, &wish)?;
        }
        VcpuOp::Up => {
            if !vcpu.has_info() {
                return Err(Errno::EINVAL.into());
            }
            guest.domain.bring_up(&vcpu).map_err(|_| Errno::EINVAL)?;
        }
        VcpuOp::Down => guest.domain.take_down(&vcpu),
        VcpuOp::SetPeriodicTimer => {
            let wish: SetPeriodicTimer = read(argument)?;
            let now = scheduler::now_ns();
            let due = timers::change(&vcpu, |timers| timers.set_period(wish.period_ns, now))?;
            timers::act(&vcpu, due);
        }
        VcpuOp::StopPeriodicTimer => timers::change(&vcpu, VcpuTimers::stop_period),
        VcpuOp::SetSingleshotTimer => {
            if !is_self {
                return Err(Errno::EINVAL.into());
            }
            let wish: SetSingleshotTimer = read(argument)?;
            let now = scheduler::now_ns();
            set_single(guest, vcpu_timers::set_singleshot(wish.timeout_abs_ns, now));
        }
        VcpuOp::SendNmi => {
            // There is nothing to say about one.
            if argument != 0 {
                return Err(Errno::EINVAL.into());
            }
            vcpu.send_nmi();
            // Blocked, it wakes.
            guest.domain.kick(vcpu.id());
        }
        VcpuOp::RegisterVcpuInfo => register_info(guest, &vcpu, &read(argument)?)?,
        VcpuOp::StopSingleshotTimer => {
            if !is_self {
                return Err(Errno::EINVAL.into());
            }
            set_single(guest, Action::Disarm);
        }
        VcpuOp::GetRunstateInfo => {
            super::write(argument, &vcpu.runstate().info_at(scheduler::now_ns()))?;
        }
        VcpuOp::RegisterRunstateMemoryArea => {
            let wish: RegisterArea = read(argument)?;
            vcpu.set_runstate_area(usable::<RunstateInfo>(wish.address)?);
            areas::publish_runstate(guest.domain, &vcpu);
        }
        VcpuOp::RegisterVcpuTimeMemoryArea => {
            let wish: RegisterTimeArea = read(argument)?;
            vcpu.set_clock_area(usable::<VcpuTimeInfo>(wish.address)?);
            areas::publish_clock(&vcpu);
        }
        VcpuOp::GetPhysid => {
            // Others hear what is said of one that may move.
            admit(guest, privilege::vcpu(operation)).map_err(|_| Errno::EINVAL)?;
            let phys_id = physical_number(&vcpu).ok_or(Errno::EINVAL)?;
            super::write(argument, &GetPhysid { phys_id })?;
        }
    }
    Ok(0)
}

/// The numbers of the processor that a vCPU is on for good, if it may run nowhere else.
fn physical_number(vcpu: &Arc<Vcpu>) -> Option<u64> {
    let affinity = scheduler::affinity(vcpu);
    let mut allowed = affinity.iter();
    let (only, other) = (allowed.next()?, allowed.next());
    if other.is_some() {
        return None;
    }
    let ids = processors::find(only.0)?;
    Some(u64::from(ids.apic) | u64::from(ids.acpi) << 32)
}

/// Sets a vCPU up that never was. Preempted, it has taken nothing, but for what is validated by now.
pub(super) fn initialise(
    domain: &Domain,
    vcpu: &Vcpu,
    wish: &VcpuGuestContext,
) -> Result<(), Refusal> {
    let context = guest::state::context_from(domain, wish)?;
    super::mmu::take_roots(domain, &context)?;
    if let Err(refusal) = super::descriptors::take_gdt(domain, &context) {
        match refusal {
            Refusal::Preempted => super::mmu::suspend_roots(domain, &context),
            Refusal::Errno(_) => super::mmu::drop_roots(domain, &context),
        }
        return Err(refusal);
    }
    let show = |context: &_| super::descriptors::show_gdt(domain, vcpu, context);
    vcpu.initialise(context, show).map_err(|context| {
        super::descriptors::drop_gdt_frames(domain, &context);
        super::mmu::drop_roots(domain, &context);
        Errno::EEXIST.into()
    })
}

/// An address at which a guest may have an area, mapped or not.
fn usable<T>(address: Vaddr) -> Result<Vaddr, Errno> {
    if access::is_guest_range(address.0, size_of::<T>()) {
        Ok(address)
    } else {
        Err(Errno::EFAULT)
    }
}

/// Moves a vCPU's `vcpu_info` into a frame of the guest's own.
fn register_info(guest: &Guest<'_>, vcpu: &Vcpu, wish: &RegisterVcpuInfo) -> Result<(), Errno> {
    if vcpu.id() != guest.vcpu.id() && vcpu.run.is_up() {
        return Err(Errno::EINVAL);
    }
    let size = size_of::<VcpuInfo>() as u32;
    if !wish.offset.is_multiple_of(8) || wish.offset > PAGE_SIZE as u32 - size {
        return Err(Errno::ENXIO);
    }
    if vcpu.has_own_info() {
        return Err(Errno::EINVAL);
    }
    let id = guest.domain.id();
    let frame = mm()
        .get_writable_frame(wish.mfn, id, id)
        .map_err(|_| Errno::EINVAL)?;
    let place = memory::vcpu_info_in(&frame, wish.offset);
    if vcpu.has_info() {
        place.copy_from(vcpu.info());
    } else {
        place.clear();
    }
    if !vcpu.set_info(place) {
        mm().put_writable_frame(frame);
        return Err(Errno::EINVAL);
    }
    // The vCPU keeps the frame for as long as it exists.
    let _ = frame.remember();
    vcpu.publish_clock();
    // The guest may have lost an event between the copy and the move: it looks at all of them.
    place.set_selector(u64::MAX);
    place.set_upcall_pending();
    scheduler::poke(vcpu);
    Ok(())
}
