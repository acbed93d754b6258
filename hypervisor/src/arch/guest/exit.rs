//! The last steps before a guest goes on: other work first, then its events, then the quickest way back.

use super::bounce;
use super::entry;
use super::running::Guest;
use crate::arch::percpu::{self, CpuInfo};
use crate::arch::scheduler;
use crate::domain::context::{Callback, EventMask, ReturnFault};
use crate::registers::{Registers, rflags};
use x86_64::instructions::interrupts;

/// The end of every entry: what waits is done, then a guest may run. Returns with interrupts off; `true` if SYSRET
/// can express the guest's frame.
#[inline(always)]
pub(super) fn finish(info: &mut CpuInfo) -> bool {
    interrupts::disable();
    if !is_quiet(info) {
        do_what_waits(info);
    }
    info.guest.rflags = rflags::on_return(info.guest.rflags);
    info.guest.can_take_sysret()
}

/// Called on the first way to a guest with the frame at the top of the stack; ends as [`finish`] does.
pub(in crate::arch) extern "C" fn prepare_exit(frame: *mut Registers) -> bool {
    // SAFETY: trap_entry.S passes the frame of this processor's CpuInfo, and nobody else holds it.
    finish(unsafe { CpuInfo::of_frame(frame) })
}

/// Whether the guest that was running simply goes on.
#[inline(always)]
fn is_quiet(info: &CpuInfo) -> bool {
    let Some(running) = &info.running else {
        return false;
    };
    let shared = running.vcpu.info();
    !info.has_work()
        && !running.vcpu.has_nmi()
        && (!shared.is_upcall_pending() || shared.upcall_mask() != 0)
}

/// Other work, then the guest's NMI or event.
#[inline(never)]
fn do_what_waits(info: &mut CpuInfo) {
    loop {
        interrupts::disable();
        if info.has_work() || info.running.is_none() {
            scheduler::work(info);
            continue;
        }
        let Some(mut guest) = Guest::of(info) else {
            continue;
        };
        if guest.context.refused_selectors.is_some() {
            failsafe(&mut guest);
            continue;
        }
        if guest.vcpu.has_nmi() && !guest.context.is_nmi_masked && guest.vcpu.take_nmi() {
            guest.context.is_nmi_masked = true;
            if let Err(error) = entry::deliver_exception(&mut guest, entry::vector::NMI, 0) {
                let vcpu = guest.vcpu.clone();
                guest
                    .domain
                    .crash(&vcpu, format_args!("an NMI can't be delivered: {error}"));
            }
            continue;
        }
        if !guest.vcpu.info().is_upcall_pending() || guest.vcpu.info().upcall_mask() != 0 {
            return;
        }
        let event = Callback {
            mask: EventMask::Mask,
            ..guest.context.callbacks.event
        };
        match bounce::deliver(&mut guest, event, None, bounce::ENTRY_CLEARS) {
            Ok(()) => return,
            Err(error) => {
                let vcpu = guest.vcpu.clone();
                guest
                    .domain
                    .crash(&vcpu, format_args!("an event can't be delivered: {error}"));
            }
        }
    }
}

/// Tells the guest kernel of selectors that could not be loaded, if it wants to know.
#[cold]
fn failsafe(guest: &mut Guest<'_>) {
    let Some(selectors) = guest.context.refused_selectors.take() else {
        return;
    };
    if !guest.context.callbacks.failsafe.is_set() {
        return;
    }
    if let Err(error) = bounce::deliver_failsafe(guest, selectors) {
        let vcpu = guest.vcpu.clone();
        guest.domain.crash(
            &vcpu,
            format_args!("bad selectors can't be reported: {error}"),
        );
    }
}

unsafe extern "C" {
    /// The IRET that goes to guests.
    static exit_iret: u8;
}

/// Called when an instruction that may fault has faulted: if it is the return to the guest, the guest will
/// have the exception.
pub(in crate::arch) fn note_fault(rip: u64, vector: u32, error_code: u32) {
    if rip != &raw const exit_iret as u64 {
        return;
    }
    let info = percpu::info_address(percpu::current_cpu()) as *mut CpuInfo;
    // SAFETY: this processor's own block; the return has begun, so no other reference to it is alive.
    if let Some(running) = unsafe { &mut (*info).running } {
        running.context.return_fault = Some(ReturnFault {
            vector: vector as u8,
            error_code,
        });
    }
}
