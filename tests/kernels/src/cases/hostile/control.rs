//! Control of domains and of the machine, with arguments that are half valid: operations that exist, of the interface's
//! version, mostly on domains that exist, with content of chance.
//!
//! Left out is what a first domain may rightly do and what would only end the trial:
//! - debug keys, some of which reboot the machine or crash it, while others fill the console in which the verdict is looked
//!   for;
//! - on the reference, all of it: it also takes processors and memory away when it is asked to.
//!
//! And, as long as this kernel spares itself, what it would not survive or would be too slow under: its own limit of
//! memory, its own share of the processors, and the registers and entries of its own vCPUs.

use super::arena;
use super::dice::Dice;
use crate::control::{self, is_reference, ordinary};
use crate::hypercall::raw;
use core::sync::atomic::{AtomicU32, Ordering};
use guest_abi::domctl::{self, Domctl, DomctlOp};
use guest_abi::domctl_vcpu::{Scheduler, VcpuContext};
use guest_abi::hypercall::Hypercall;
use guest_abi::ids::{DomId, Vaddr};
use guest_abi::payload::Payload;
use guest_abi::segment::{FLAT_RING3_CS64, FLAT_RING3_SS};
use guest_abi::sysctl::{self, Sysctl, SysctlOp};
use guest_abi::sysctl_cpu::CreditSchedule;
use guest_abi::vcpu_context::{ContextFlags, VcpuGuestContext};
use zerocopy::FromZeros;

/// Numbers of other domains that there may be.
const OTHERS: u64 = 5;
/// Operations of either kind have numbers below this.
const NUMBERS: u64 = 92;
/// What may be written behind a pointer: the arena has so many bytes behind its end.
const MOST_BYTES: u64 = 4 * 4096 - 64;

/// Operations that were done.
static SUCCESSES: AtomicU32 = AtomicU32::new(0);

/// How many operations were done, and not refused.
pub(super) fn successes() -> u32 {
    SUCCESSES.load(Ordering::Relaxed)
}

/// One operation of either kind.
pub(super) fn operate(dice: &mut Dice) {
    if is_reference() {
        return;
    }
    match dice.below(8) {
        0..5 => one_domain(dice),
        5..7 => machine(dice),
        _ => memory_of_other(dice),
    }
}

/// Mostly the interface's, which is the same for nobody else.
fn version(dice: &mut Dice, right: u32) -> u32 {
    match dice.hits(24) {
        true => dice.pick(&[0, right - 1, right + 1, u32::MAX]),
        false => right,
    }
}

fn domain(dice: &mut Dice) -> DomId {
    match dice.below(16) {
        0..4 => DomId::DOM0,
        4 => DomId(dice.pick(&[DomId::SELF.0, 0x7ff1, 0x7ff2, 99, u16::MAX])),
        _ => other(dice),
    }
}

pub(super) fn other(dice: &mut Dice) -> DomId {
    DomId(1 + dice.below(OTHERS) as u16)
}

/// What nearly all contents are: a small number and flags first, then pointers, counts and anything.
fn content(dice: &mut Dice) -> Payload<16> {
    let mut words = [0; 16];
    for word in &mut words {
        *word = match dice.below(8) {
            0..3 => dice.pointer(),
            3..6 => dice.below(130),
            6 => dice.below(6) | dice.below(8) << 32,
            _ => dice.value(),
        };
    }
    words[0] = match dice.below(8) {
        0 => words[0],
        _ => dice.below(6) | dice.below(8) << 32,
    };
    Payload(words)
}

/// Makes the call with its argument among the frames to play with, where others change it meanwhile; or here, if it has
/// to stay as it is.
fn call<T>(dice: &mut Dice, number: Hypercall, argument: &T, must_stay: bool) {
    let at = match must_stay || dice.hits(2) {
        true => core::ptr::from_ref(argument) as u64,
        false => arena::lay(dice.pointer(), argument),
    };
    if raw(number.number(), [at, 0, 0, 0, 0]) == 0 {
        SUCCESSES.fetch_add(1, Ordering::Relaxed);
    }
}

fn one_domain(dice: &mut Dice) {
    let mut wish = Domctl::new_zeroed();
    wish.cmd = match dice.below(32) {
        0 => dice.next() as u32,
        // Without others nothing can be done to them.
        1..4 => DomctlOp::CreateDomain.number(),
        4..6 => DomctlOp::MaxVcpus.number(),
        6..9 => DomctlOp::SetVcpuContext.number(),
        9 => DomctlOp::UnpauseDomain.number(),
        10 => DomctlOp::DestroyDomain.number(),
        _ => dice.below(NUMBERS) as u32,
    };
    wish.interface_version = version(dice, domctl::INTERFACE_VERSION);
    wish.domain = domain(dice);
    wish.u = content(dice);
    let op = DomctlOp::try_from(wish.cmd).ok();
    let mut must_stay = false;
    // Lives until the call is made.
    let mut context = VcpuGuestContext::new_zeroed();
    match op {
        Some(DomctlOp::CreateDomain) if !dice.hits(8) => {
            wish.domain = other(dice);
            let mut plan = ordinary(vcpus(wish.domain));
            if dice.hits(4) {
                plan.max_vcpus = dice.below(9000) as u32;
                plan.max_grant_frames = dice.below(70) as i32 - 1;
            }
            wish.u = Payload::of(&plan);
        }
        Some(DomctlOp::MaxVcpus) if !dice.hits(8) => wish.u.0[0] = vcpus(wish.domain).into(),
        Some(DomctlOp::SetVcpuContext) if !dice.hits(4) => {
            fill(dice, &mut context);
            wish.u.write(&VcpuContext {
                vcpu: dice.below(4) as u32,
                pad0: [0; 4],
                ctxt: Vaddr(core::ptr::from_ref(&context) as u64),
            });
        }
        Some(DomctlOp::SchedulerOp) if !dice.hits(8) => {
            wish.u.0[0] = u64::from(Scheduler::Credit as u32) | dice.below(3) << 32;
        }
        Some(DomctlOp::HypercallInit) => {
            // Written to: no other frame.
            wish.u.0[0] = dice.mfn().0;
            must_stay = true;
        }
        _ => {}
    }
    // What is among the frames to play with may become another operation or for another domain, of what is laid there.
    if matches!(
        op,
        Some(
            DomctlOp::MaxMem
                | DomctlOp::SchedulerOp
                | DomctlOp::SetExtVcpuContext
                | DomctlOp::SetVcpuExtendedState
        )
    ) {
        must_stay = true;
        if !dice.is_wild && [DomId::DOM0, DomId::SELF].contains(&wish.domain) {
            wish.domain = other(dice);
        }
    }
    call(dice, Hypercall::Domctl, &wish, must_stay);
}

/// How many vCPUs a domain has that was made as it should be.
fn vcpus(domain: DomId) -> u32 {
    1 + u32::from(domain.0) % 3
}

/// A context with a grain of truth.
fn fill(dice: &mut Dice, context: &mut VcpuGuestContext) {
    context.flags = match dice.below(3) {
        0 => ContextFlags::IN_KERNEL,
        1 => ContextFlags::IN_KERNEL | ContextFlags::ONLINE,
        _ => ContextFlags::from_bits_retain(dice.below(1 << 32)),
    };
    let registers = &mut context.user_regs;
    (registers.rip, registers.rsp) = (dice.value(), dice.value());
    (registers.cs, registers.ss) = (FLAT_RING3_CS64, FLAT_RING3_SS);
    registers.rflags = dice.value();
    context.kernel_ss = u64::from(FLAT_RING3_SS);
    context.kernel_sp = Vaddr(dice.value());
    context.ctrlreg[3] = dice.mfn().address();
    if dice.hits(4) {
        context.ctrlreg[1] = dice.mfn().address();
        context.gdt_ents = dice.below(1100);
        context.gdt_frames[0] = dice.mfn().0;
        (context.ldt_base, context.ldt_ents) = (Vaddr(dice.value()), dice.below(9000));
    }
}

fn machine(dice: &mut Dice) {
    let mut wish = Sysctl::new_zeroed();
    wish.cmd = match dice.below(16) {
        0 => dice.next() as u32,
        _ => dice.below(32) as u32,
    };
    if wish.cmd == SysctlOp::DebugKeys.number() {
        return;
    }
    wish.interface_version = version(dice, sysctl::INTERFACE_VERSION);
    wish.u = content(dice);
    let mut must_stay = false;
    match SysctlOp::try_from(wish.cmd) {
        // Lists of any length, which would be written far behind the frames to play with.
        Ok(SysctlOp::ReadConsole) => {
            wish.u.0[0] = dice.below(2) | dice.below(2) << 8 | dice.next() << 32;
            wish.u.0[1] = dice.pointer();
            wish.u.0[2] = dice.below(MOST_BYTES);
            must_stay = true;
        }
        Ok(SysctlOp::PciTopologyInfo) => {
            wish.u.0[0] = dice.below(MOST_BYTES / 4);
            must_stay = true;
        }
        Ok(SysctlOp::SchedulerOp) if dice.hits(2) => {
            wish.u.0[0] = u64::from(Scheduler::Credit as u32) << 32;
            wish.u.0[1] = dice.below(3);
            let schedule = CreditSchedule {
                tslice_ms: dice.below(40) as u32,
                ratelimit_us: dice.below(40_000) as u32,
                vcpu_migr_delay_us: dice.below(1000) as u32,
            };
            let words = Payload::<2>::of(&schedule);
            wish.u.0[2..4].copy_from_slice(&words.0);
        }
        _ => {}
    }
    call(dice, Hypercall::Sysctl, &wish, must_stay);
}

/// Another domain gets memory, so that there is something to take away when it is destroyed.
fn memory_of_other(dice: &mut Dice) {
    let other = other(dice);
    let most = [dice.below(256)];
    let _ = control::control(DomctlOp::MaxMem, other, &most);
    let mut list: [u64; 4] = core::array::from_fn(|_| dice.below(512));
    let _ = control::populate(other, &mut list);
}
