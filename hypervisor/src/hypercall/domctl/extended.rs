//! What of a vCPU's state a context has no room for.

#![forbid(unsafe_code)]

use super::context::with_context;
use super::{Answer, Done, other_vcpu};
use crate::arch::fpu;
use crate::arch::guest::access;
use crate::arch::guest::running::Guest;
use crate::arch::processors;
use crate::cpu_policy::xstate;
use crate::domain::context::{Callback, EventMask, is_canonical};
use crate::domain::{Domain, Vcpu};
use crate::hypercall::{read, write};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem::offset_of;
use guest_abi::domctl::Domctl;
use guest_abi::domctl_vcpu::{
    ExtVcpuContext, ExtendedStateHeader, VcpuExtendedState, VcpuMsr, VcpuMsrs,
};
use guest_abi::errno::Errno;
use guest_abi::ids::Vaddr;
use guest_abi::segment::FLAT_RING3_CS64;
use zerocopy::FromZeros;

/// A vCPU that has a state: one without never comes to have one by waiting.
fn with_state(vcpu: &Arc<Vcpu>) -> Result<&Arc<Vcpu>, Errno> {
    if vcpu.is_initialised() {
        Ok(vcpu)
    } else {
        Err(Errno::ENODATA)
    }
}

/// One that is there, and does not ask.
fn another_vcpu<'d>(
    guest: &Guest<'_>,
    domain: &'d Domain,
    number: u32,
) -> Result<&'d Arc<Vcpu>, Errno> {
    other_vcpu(guest, domain, number, Errno::ESRCH).map_err(|_| Errno::ESRCH)
}

pub(super) fn entries(guest: &Guest<'_>, wish: &mut Domctl, domain: &Domain) -> Answer {
    let asked: ExtVcpuContext = wish.u.read();
    let vcpu = another_vcpu(guest, domain, asked.vcpu)?;
    let mut ext = ExtVcpuContext::new_zeroed();
    ext.vcpu = asked.vcpu;
    ext.size = size_of::<ExtVcpuContext>() as u32;
    if !vcpu.is_initialised() {
        // It has no entries yet.
        wish.u.write(&ext);
        return Ok(Done::WithAnswer);
    }
    let done = with_context(vcpu, |context| {
        let callbacks = &context.callbacks;
        let masks = |callback: Callback| u8::from(callback.mask == EventMask::Mask);
        ext.syscall32_callback_eip = callbacks.syscall32.address;
        ext.sysenter_callback_eip = callbacks.sysenter.address;
        ext.syscall32_callback_cs = FLAT_RING3_CS64;
        ext.sysenter_callback_cs = FLAT_RING3_CS64;
        ext.syscall32_disables_events = masks(callbacks.syscall32);
        ext.sysenter_disables_events = masks(callbacks.sysenter);
    });
    if done.is_err() {
        return Ok(Done::Again);
    }
    wish.u.write(&ext);
    Ok(Done::WithAnswer)
}

pub(super) fn set_entries(guest: &Guest<'_>, wish: &Domctl, domain: &Domain) -> Answer {
    let ext: ExtVcpuContext = wish.u.read();
    let vcpu = another_vcpu(guest, domain, ext.vcpu)?;
    let is_sound = ext.size as usize >= offset_of!(ExtVcpuContext, vmce)
        && is_canonical(ext.syscall32_callback_eip.0)
        && is_canonical(ext.sysenter_callback_eip.0);
    if !is_sound {
        return Err(Errno::EINVAL);
    }
    if !vcpu.is_initialised() {
        // It has none, and can be told so.
        let has_none = ext.syscall32_callback_eip.0 == 0 && ext.sysenter_callback_eip.0 == 0;
        return has_none.then_some(Done::Quietly).ok_or(Errno::EINVAL);
    }
    let callback = |address, disables| Callback {
        address,
        mask: if disables == 0 {
            EventMask::Keep
        } else {
            EventMask::Mask
        },
    };
    let done = with_context(vcpu, |context| {
        context.callbacks.syscall32 =
            callback(ext.syscall32_callback_eip, ext.syscall32_disables_events);
        context.callbacks.sysenter =
            callback(ext.sysenter_callback_eip, ext.sysenter_disables_events);
    });
    Ok(done.map_or(Done::Again, |()| Done::Quietly))
}

/// Bytes of a state with these components, header included; 0 where there is none.
fn state_bytes(xcr0: u64) -> u64 {
    if xcr0 == 0 {
        return 0;
    }
    let area = xstate::standard_size(&processors::Host, xcr0);
    size_of::<ExtendedStateHeader>() as u64 + u64::from(area)
}

pub(super) fn state(guest: &Guest<'_>, wish: &mut Domctl, domain: &Domain) -> Answer {
    let mut state: VcpuExtendedState = wish.u.read();
    let vcpu = other_vcpu(guest, domain, state.vcpu, Errno::ESRCH)?;
    let permitted = fpu::permitted();
    let bytes = state_bytes(permitted);
    if state.buffer.0 == 0 || state.size == 0 && state.xfeature_mask == 0 {
        (state.xfeature_mask, state.size) = (permitted, bytes);
        wish.u.write(&state);
        return Ok(Done::WithAnswer);
    }
    if (state.size, state.xfeature_mask) != (bytes, permitted) {
        return Err(Errno::EINVAL);
    }
    if bytes == 0 {
        return Ok(Done::Quietly);
    }
    let vcpu = with_state(vcpu)?;
    let mut area = Vec::new();
    let length = bytes as usize - size_of::<ExtendedStateHeader>();
    area.try_reserve_exact(length).map_err(|_| Errno::ENOMEM)?;
    area.resize(length, 0);
    let read = with_context(vcpu, |context| {
        fpu::copy_state(vcpu, context, &mut area);
        context.xcr0
    });
    let Ok(xcr0) = read else {
        return Ok(Done::Again);
    };
    let header = ExtendedStateHeader {
        xcr0,
        xcr0_accum: permitted,
    };
    write(state.buffer.0, &header)?;
    let at = state
        .buffer
        .0
        .wrapping_add(size_of::<ExtendedStateHeader>() as u64);
    access::write_bytes(Vaddr(at), &area).map_err(|_| Errno::EFAULT)?;
    Ok(Done::Quietly)
}

pub(super) fn set_state(guest: &Guest<'_>, wish: &Domctl, domain: &Domain) -> Answer {
    const HEADER: u64 = size_of::<ExtendedStateHeader>() as u64;
    let state: VcpuExtendedState = wish.u.read();
    let vcpu = other_vcpu(guest, domain, state.vcpu, Errno::ESRCH)?;
    let permitted = fpu::permitted();
    if state.size < HEADER || state.size > state_bytes(permitted) {
        return Err(Errno::EINVAL);
    }
    let header: ExtendedStateHeader = read(state.buffer.0)?;
    let mut area = Vec::new();
    let length = (state.size - HEADER) as usize;
    area.try_reserve_exact(length).map_err(|_| Errno::ENOMEM)?;
    area.resize(length, 0);
    let at = state.buffer.0.checked_add(HEADER).ok_or(Errno::EFAULT)?;
    access::read_bytes(Vaddr(at), &mut area).map_err(|_| Errno::EFAULT)?;
    if area.is_empty() {
        return Ok(Done::Quietly);
    }
    let is_sound = header.xcr0 & !header.xcr0_accum == 0
        && header.xcr0_accum & !permitted == 0
        && xstate::validate_xcr0(header.xcr0, permitted).is_ok();
    if !is_sound || !vcpu.is_initialised() {
        return Err(Errno::EINVAL);
    }
    let set = with_context(vcpu, |context| {
        fpu::set_state(vcpu, context, header.xcr0, &area)
    });
    match set {
        Ok(Ok(())) => Ok(Done::Quietly),
        Ok(Err(_)) => Err(Errno::EINVAL),
        Err(_) => Ok(Done::Again),
    }
}

/// The MSR of a vCPU that is more than what other operations carry.
const TSC_AUX: u32 = 0xC000_0103;
/// How many such MSRs a list holds at most.
const MOST_MSRS: u32 = 1;

pub(super) fn msrs(guest: &Guest<'_>, wish: &mut Domctl, domain: &Domain) -> Answer {
    let mut list: VcpuMsrs = wish.u.read();
    let vcpu = other_vcpu(guest, domain, list.vcpu, Errno::ESRCH)?;
    if list.msrs.0 == 0 {
        list.msr_count = MOST_MSRS;
        wish.u.write(&list);
        return Ok(Done::WithAnswer);
    }
    let value = match vcpu.is_initialised() {
        true => with_context(vcpu, |context| context.tsc_aux),
        false => Ok(0),
    };
    let Ok(value) = value else {
        return Ok(Done::Again);
    };
    // What is 0 need not be said.
    let count = u32::from(value != 0);
    if count > list.msr_count {
        return Err(Errno::ENOBUFS);
    }
    if count != 0 {
        let entry = VcpuMsr {
            index: TSC_AUX,
            reserved: 0,
            value: value.into(),
        };
        write(list.msrs.0, &entry)?;
    }
    list.msr_count = count;
    wish.u.write(&list);
    Ok(Done::WithAnswer)
}

/// Tells in the argument how many of them are set.
pub(super) fn set_msrs(guest: &Guest<'_>, wish: &mut Domctl, domain: &Domain) -> Answer {
    let mut list: VcpuMsrs = wish.u.read();
    let vcpu = other_vcpu(guest, domain, list.vcpu, Errno::ESRCH)?;
    if list.msr_count > MOST_MSRS {
        return Err(Errno::EINVAL);
    }
    let set = match list.msr_count {
        0 => Ok(Done::WithAnswer),
        _ => set_msr(vcpu, list.msrs.0),
    };
    if set.is_err() {
        list.msr_count = 0;
        wish.u.write(&list);
    }
    set
}

/// Sets the one MSR that a list can have.
fn set_msr(vcpu: &Arc<Vcpu>, at: u64) -> Answer {
    let entry: VcpuMsr = read(at)?;
    let value = u32::try_from(entry.value).map_err(|_| Errno::EINVAL)?;
    if entry.index != TSC_AUX || entry.reserved != 0 || !vcpu.is_initialised() {
        return Err(Errno::EINVAL);
    }
    let done = with_context(vcpu, |context| context.tsc_aux = value);
    Ok(done.map_or(Done::Again, |()| Done::WithAnswer))
}
