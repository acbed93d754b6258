//! Floating-point and vector state.
//!
//! It is switched with the vCPU, eagerly: nothing of another vCPU is ever in the registers while a guest
//! runs, not even where a processor would speculate on them. CR0.TS is set for a guest that has set it
//! itself, and for nothing else.

use super::features::{self, Features};
use crate::domain::Vcpu;
use crate::domain::context::{Context, FXSAVE_BYTES};
use core::arch::asm;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU64, Ordering};

/// Bytes of the area: all state that guests are offered (x87, SSE, AVX, AVX-512, PKRU) fits.
const BYTES: usize = 3072;

/// Where one vCPU's state is while it does not run, in XSAVE's standard format.
#[repr(C, align(64))]
pub(crate) struct FpuArea(UnsafeCell<[u8; BYTES]>);

// SAFETY: touched only by the processor that takes the vCPU's context or gives it back.
unsafe impl Sync for FpuArea {}
// SAFETY: plain bytes.
unsafe impl Send for FpuArea {}

impl FpuArea {
    /// The state after a processor's initialisation: FCW 0x37f, MXCSR 0x1f80, all registers zero.
    pub(crate) const fn new() -> Self {
        let mut bytes = [0; BYTES];
        (bytes[0], bytes[1]) = (0x7f, 0x03);
        (bytes[24], bytes[25]) = (0x80, 0x1f);
        Self(UnsafeCell::new(bytes))
    }
}

/// State components that guests may have, as bits of XCR0; 0 without XSAVE.
static PERMITTED: AtomicU64 = AtomicU64::new(0);

/// Learns from the domain policy which components are switched.
pub(super) fn set_permitted(xcr0: u64) {
    PERMITTED.store(xcr0, Ordering::Relaxed);
}

fn write_xcr0(value: u64) {
    // SAFETY: OSXSAVE is on wherever XSAVE is there; the value is one that the policy allows.
    unsafe {
        asm!("xsetbv", in("ecx") 0, in("eax") value as u32, in("edx") (value >> 32) as u32,
             options(nomem, nostack, preserves_flags));
    }
}

fn has_xsave() -> bool {
    features::get().contains(Features::XSAVE) && PERMITTED.load(Ordering::Relaxed) != 0
}

fn set_task_switched(is_set: bool) {
    // SAFETY: CR0.TS is this module's alone.
    unsafe {
        if is_set {
            asm!("mov {0}, cr0", "or {0}, 8", "mov cr0, {0}", out(reg) _, options(nomem, nostack));
        } else {
            asm!("clts", options(nomem, nostack, preserves_flags));
        }
    }
}

/// Saves the state of the vCPU that stops running.
pub(super) fn save(vcpu: &Vcpu, context: &Context) {
    let area = vcpu.fpu.0.get();
    set_task_switched(false);
    // SAFETY: the area is this vCPU's, which only this processor holds (its context was taken); it is 64
    // bytes aligned and large enough for every permitted component.
    unsafe {
        if has_xsave() {
            // All of it: XCR0 of the guest may hide components that it filled earlier.
            write_xcr0(PERMITTED.load(Ordering::Relaxed));
            asm!("xsave64 [{}]", in(reg) area, in("eax") u32::MAX, in("edx") u32::MAX, options(nostack));
            write_xcr0(context.xcr0);
        } else {
            asm!("fxsave64 [{}]", in(reg) area, options(nostack));
        }
    }
}

/// Puts a state in the format of FXSAVE, which somebody has written as he liked, into an area: XMM and x87
/// registers are as in it, everything else as after initialisation.
fn take_over(area: &mut [u8; BYTES], image: &[u8; FXSAVE_BYTES]) {
    /// Where MXCSR is in the image, and the mask of the bits that the processor has, which it writes itself.
    const MXCSR: usize = 24;
    /// Components in the area's header, right behind the image: x87 and SSE.
    const HEADER_COMPONENTS: u8 = 0b11;
    area.fill(0);
    area[..FXSAVE_BYTES].copy_from_slice(image);
    area[FXSAVE_BYTES] = HEADER_COMPONENTS;
    // A bit of MXCSR that the processor does not have would fault here, in the hypervisor.
    let mut mxcsr = [0; 4];
    mxcsr.copy_from_slice(&image[MXCSR..MXCSR + 4]);
    let mxcsr = u32::from_le_bytes(mxcsr) & mxcsr_mask();
    area[MXCSR..MXCSR + 4].copy_from_slice(&mxcsr.to_le_bytes());
}

/// Bits of MXCSR that the processor has.
fn mxcsr_mask() -> u32 {
    /// What a mask of zero means (Intel SDM volume 1, 11.6.6).
    const DEFAULT: u32 = 0xffbf;
    #[repr(C, align(16))]
    struct Image([u8; FXSAVE_BYTES]);
    let mut image = Image([0; FXSAVE_BYTES]);
    // SAFETY: the image is 16 bytes aligned and as long as FXSAVE writes; CR0.TS is clear (callers).
    unsafe { asm!("fxsave64 [{}]", in(reg) &raw mut image, options(nostack, preserves_flags)) };
    let mut mask = [0; 4];
    mask.copy_from_slice(&image.0[28..32]);
    match u32::from_le_bytes(mask) {
        0 => DEFAULT,
        mask => mask,
    }
}

/// Loads the state of the vCPU that is about to run.
pub(super) fn restore(vcpu: &Vcpu, context: &mut Context) {
    let area = vcpu.fpu.0.get();
    set_task_switched(false);
    if let Some(image) = context.initial_fpu.take() {
        // SAFETY: the area is this vCPU's, which only this processor holds.
        take_over(unsafe { &mut *area }, &image);
    }
    // SAFETY: as in `save`; what the area holds was written by XSAVE, or checked by whoever set it.
    unsafe {
        if has_xsave() {
            write_xcr0(PERMITTED.load(Ordering::Relaxed));
            asm!("xrstor64 [{}]", in(reg) area, in("eax") u32::MAX, in("edx") u32::MAX, options(nostack));
            write_xcr0(context.xcr0);
        } else {
            asm!("fxrstor64 [{}]", in(reg) area, options(nostack));
        }
    }
    set_task_switched(context.is_task_switched);
}

/// A device-not-available exception: whether the guest asked for it.
pub(super) fn is_guests_own_trap(context: &Context) -> bool {
    if !context.is_task_switched {
        set_task_switched(false);
    }
    context.is_task_switched
}

/// The guest gets its exception, and with it a cleared virtual TS.
pub(super) fn clear_guest_trap(context: &mut Context) {
    set_guest_trap(context, false);
}

/// The guest sets or clears its virtual TS.
pub(super) fn set_guest_trap(context: &mut Context, is_set: bool) {
    context.is_task_switched = is_set;
    set_task_switched(is_set);
}

/// The guest has a new XCR0.
pub(super) fn set_xcr0(context: &mut Context, value: u64) {
    context.xcr0 = value;
    write_xcr0(value);
}
