//! Floating-point and vector state.
//!
//! It is switched when it must be, and no later. A vCPU's state stays in the registers of its processor while it
//! idles there, and while the hypervisor works for it: coming back costs nothing. It goes to memory when another
//! vCPU takes the processor, and when it moves or is paused, so that whoever holds the context of a vCPU that
//! does not run finds all of its state at [home](with_home). It is loaded when the registers hold anything else
//! than this very state ([`Occupancy`] argues when), and before the vCPU's first instruction.
//!
//! The usual way to be lazier leaves the registers to the vCPU that used them last, and has CR0.TS make the next
//! one's first use of them fault. Processors speculate past that fault with the values that are there (CVE-2018-3665),
//! and so another's keys leak. Here CR0.TS is set for a guest that has set it itself, and for nothing else; there
//! is nothing of another vCPU behind it.
//!
//! What has not been used costs little in either direction: XSAVEOPT writes only components that are in use and have
//! changed since they were loaded from the same area, and XRSTOR initialises, without reading them, those that the
//! area's header does not name. A vCPU that has never used any of it has an area without components. Where there is
//! no XSAVEOPT, a processor's own bookkeeping of what is in use is not there either, and all is written. XCR0 is
//! written when it changes: it is the same for vCPUs of one kind of kernel.
//!
//! XSAVEOPT's comparison is safe because nothing writes an area whose vCPU runs, and because whoever else has
//! written it ([`with_home`], the vCPU itself on another processor) makes the next turn begin with a load.

use super::features::{self, Features};
use super::msr;
use super::percpu::{self, MAX_CPUS};
use super::smp;
use crate::cpu_policy::floating_point::{Load, Occupancy, Residence, fill_initial};
use crate::domain::Vcpu;
use crate::domain::context::{Context, FXSAVE_BYTES};
use core::arch::asm;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Bytes of the area: all state that guests are offered (x87, SSE, AVX, AVX-512, PKRU) fits.
const BYTES: usize = 3072;

/// Where one vCPU's state is while it does not run, in XSAVE's standard format.
#[repr(C, align(64))]
pub(crate) struct FpuArea {
    bytes: UnsafeCell<[u8; BYTES]>,
    residence: Residence,
}

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
        Self {
            bytes: UnsafeCell::new(bytes),
            residence: Residence::nowhere(),
        }
    }
}

/// What a processor has in its registers.
struct Registers {
    occupancy: Occupancy,
    /// XCR0; 0 before it is written.
    xcr0: AtomicU64,
}

static REGISTERS: [Registers; MAX_CPUS] = [const {
    Registers {
        occupancy: Occupancy::nobody(),
        xcr0: AtomicU64::new(0),
    }
}; MAX_CPUS];

/// Those of the calling processor.
fn own_registers() -> (u32, &'static Registers) {
    let cpu = percpu::current_cpu();
    // Numbers are those of processors that exist.
    let registers = REGISTERS.get(cpu as usize).unwrap_or(&REGISTERS[0]);
    (cpu, registers)
}

/// State components that guests may have, as bits of XCR0; 0 without XSAVE.
static PERMITTED: AtomicU64 = AtomicU64::new(0);

/// Bits of MXCSR that the processor has.
static MXCSR_MASK: AtomicU32 = AtomicU32::new(0);

/// Learns from the domain policy which components are switched. On the first processor, before there are guests.
pub(super) fn set_permitted(xcr0: u64) {
    PERMITTED.store(xcr0, Ordering::Relaxed);
    MXCSR_MASK.store(mxcsr_mask(), Ordering::Relaxed);
}

/// Gives the calling processor a value of XCR0, unless it has it.
fn load_xcr0(registers: &Registers, value: u64) {
    if registers.xcr0.load(Ordering::Relaxed) == value {
        return;
    }
    registers.xcr0.store(value, Ordering::Relaxed);
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

/// Saves the state of the vCPU that stops running. The registers hold it, too, until another one's is loaded.
pub(super) fn save(vcpu: &Vcpu) {
    let (_, registers) = own_registers();
    let area = vcpu.fpu.bytes.get();
    set_task_switched(false);
    // SAFETY: the area is this vCPU's, which only this processor holds (its context was taken); it is 64
    // bytes aligned and large enough for every permitted component.
    unsafe {
        if has_xsave() {
            // All of it: XCR0 of the guest may hide components that it filled earlier.
            load_xcr0(registers, PERMITTED.load(Ordering::Relaxed));
            if features::get().contains(Features::XSAVEOPT) {
                asm!("xsaveopt64 [{}]", in(reg) area, in("eax") u32::MAX, in("edx") u32::MAX, options(nostack));
            } else {
                asm!("xsave64 [{}]", in(reg) area, in("eax") u32::MAX, in("edx") u32::MAX, options(nostack));
            }
        } else {
            asm!("fxsave64 [{}]", in(reg) area, options(nostack));
        }
    }
    registers.occupancy.saved();
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
    let mxcsr = u32::from_le_bytes(mxcsr) & MXCSR_MASK.load(Ordering::Relaxed);
    area[MXCSR..MXCSR + 4].copy_from_slice(&mxcsr.to_le_bytes());
}

/// Asks the processor.
fn mxcsr_mask() -> u32 {
    /// What a mask of zero means (Intel SDM volume 1, 11.6.6).
    const DEFAULT: u32 = 0xffbf;
    #[repr(C, align(16))]
    struct Image([u8; FXSAVE_BYTES]);
    let mut image = Image([0; FXSAVE_BYTES]);
    // SAFETY: the image is 16 bytes aligned and as long as FXSAVE writes; CR0.TS is clear: no guest
    // has set it yet.
    unsafe { asm!("fxsave64 [{}]", in(reg) &raw mut image, options(nostack, preserves_flags)) };
    let mut mask = [0; 4];
    mask.copy_from_slice(&image.0[28..32]);
    match u32::from_le_bytes(mask) {
        0 => DEFAULT,
        mask => mask,
    }
}

/// Shows all of the state of a vCPU that does not run, for reading and writing, in XSAVE's standard format: it is in
/// memory, and what the header does not name has its initial value. `context` is the vCPU's, and proves that nobody
/// runs it. What is written must be fit to be loaded: no component that is not permitted, no reserved bit in the header
/// or in MXCSR.
pub(super) fn with_home<R>(
    vcpu: &Vcpu,
    context: &mut Context,
    look: impl FnOnce(&mut [u8; BYTES]) -> R,
) -> R {
    vcpu.fpu.residence.forget();
    // SAFETY: the area is this vCPU's, whose context the caller holds: no processor runs it.
    let area = unsafe { &mut *vcpu.fpu.bytes.get() };
    match context.initial_fpu.take() {
        Some(image) => take_over(area, &image),
        None if has_xsave() => {
            let permitted = PERMITTED.load(Ordering::Relaxed);
            fill_initial(area, permitted, |area, component| {
                let place = msr::cpuid(0xd, component);
                let (start, length) = (place.ebx as usize, place.eax as usize);
                if let Some(bytes) = area.get_mut(start..start.saturating_add(length)) {
                    bytes.fill(0);
                }
            });
        }
        None => {}
    }
    look(area)
}

/// Replaces the pointers to the last x87 instruction and its operand by ones that tell nothing, on processors that
/// would leave them as they are: there restoring a state without a pending exception does not load them.
fn replace_pointers() {
    static OPERAND: u32 = 0;
    if features::get().contains(Features::X87_POINTERS) {
        return;
    }
    // SAFETY: changes x87 state only, all of which the caller loads anew. No exception is pending after FNCLEX, and
    // the register that FILD fills is free.
    unsafe {
        asm!("fnclex", "ffree st(7)", "fild dword ptr [{}]", in(reg) &raw const OPERAND,
             options(nostack, readonly, preserves_flags));
    }
}

/// Loads the state of the vCPU that is about to run, unless it is there.
pub(super) fn restore(vcpu: &Vcpu, context: &mut Context) {
    let (cpu, registers) = own_registers();
    set_task_switched(false);
    if context.initial_fpu.is_some() {
        with_home(vcpu, context, |_| ());
    }
    if registers.occupancy.enter(cpu, &vcpu.fpu.residence) == Load::FromArea {
        let area = vcpu.fpu.bytes.get();
        replace_pointers();
        // SAFETY: as in `save`; what the area holds was written by XSAVE, or checked by whoever set it.
        unsafe {
            if has_xsave() {
                load_xcr0(registers, PERMITTED.load(Ordering::Relaxed));
                asm!("xrstor64 [{}]", in(reg) area, in("eax") u32::MAX, in("edx") u32::MAX, options(nostack));
            } else {
                asm!("fxrstor64 [{}]", in(reg) area, options(nostack));
            }
        }
    }
    if has_xsave() {
        load_xcr0(registers, context.xcr0);
    }
    set_task_switched(context.is_task_switched);
}

/// Says how often processors have moved such state.
pub(super) fn report(mut say: impl FnMut(core::fmt::Arguments<'_>)) {
    for (cpu, _) in smp::online() {
        if let Some(registers) = REGISTERS.get(cpu as usize) {
            let moves = registers.occupancy.moves();
            say(format_args!(
                "CPU{cpu}: floating-point state saved {} times, loaded {}, found in place {}",
                moves.saves, moves.loads, moves.kept
            ));
        }
    }
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
    let (_, registers) = own_registers();
    load_xcr0(registers, value);
}

/// The processor's state components that guests may have; 0 where there is no XSAVE.
pub(crate) fn permitted() -> u64 {
    if has_xsave() {
        PERMITTED.load(Ordering::Relaxed)
    } else {
        0
    }
}

/// Copies the state of a vCPU that does not run, from its start on.
pub(crate) fn copy_state(vcpu: &Vcpu, context: &mut Context, to: &mut [u8]) {
    with_home(vcpu, context, |area| {
        for (to, from) in to.iter_mut().zip(area.iter()) {
            *to = *from;
        }
    });
}

/// A state that can't be loaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BadState;

/// Replaces the state of a vCPU that does not run, and whose context the caller has, by one in XSAVE's standard
/// format, as somebody has written it. Its components are to be among those of `xcr0`, which are permitted.
pub(crate) fn set_state(
    vcpu: &Vcpu,
    context: &mut Context,
    xcr0: u64,
    from: &[u8],
) -> Result<(), BadState> {
    /// Where the components are named, behind the legacy image, and what is zero behind that.
    const COMPONENTS: usize = FXSAVE_BYTES;
    const RESERVED: core::ops::Range<usize> = FXSAVE_BYTES + 8..FXSAVE_BYTES + 64;
    const MXCSR: usize = 24;
    let mut components = [0; 8];
    components.copy_from_slice(from.get(COMPONENTS..COMPONENTS + 8).ok_or(BadState)?);
    let mut mxcsr = [0; 4];
    mxcsr.copy_from_slice(from.get(MXCSR..MXCSR + 4).ok_or(BadState)?);
    let reserved = from.get(RESERVED).ok_or(BadState)?;
    let is_sound = from.len() <= BYTES
        && u64::from_le_bytes(components) & !xcr0 == 0
        && u32::from_le_bytes(mxcsr) & !MXCSR_MASK.load(Ordering::Relaxed) == 0
        && reserved.iter().all(|&byte| byte == 0);
    if !is_sound {
        return Err(BadState);
    }
    with_home(vcpu, context, |area| {
        area.fill(0);
        for (to, from) in area.iter_mut().zip(from) {
            *to = *from;
        }
    });
    context.xcr0 = xcr0;
    Ok(())
}
