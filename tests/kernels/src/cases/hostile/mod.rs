//! A kernel that does nothing but harm, on all vCPUs at once, for as long as the command line says
//! (`seconds=`), by a seed that it prints and that can be given again (`seed=`).
//!
//! First it spares what it lives on, so that it goes on for the whole time, or for less (`tame=`); then it spares nothing, and
//! whatever becomes of the domain is right. That the hypervisor lives, and that its books of memory are exact
//! when the domain has ended, is for whoever started it to see.

mod arena;
mod calls;
mod code;
mod control;
mod dice;
mod memory;

use super::prelude::*;
use crate::clock::{self, now_ns};
use crate::user::UserSpace;
use crate::{command_line, cpu};
use core::cell::Cell;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use dice::Dice;
use guest_abi::callback_op::{CallbackFlags, CallbackType};
use guest_abi::sched_op::SchedOp;
use guest_abi::segment::{FLAT_RING3_CS64, FLAT_RING3_SS};
use guest_abi::vcpu_op::VcpuOp;

/// Ports below this are needed: the timers, for one.
const PORTS_KEPT: u64 = 16;
/// How long nothing is spared.
const WILD_NS: u64 = 3_000_000_000;

static SEED: AtomicU64 = AtomicU64::new(0);
/// When the first part ends.
static TAME_UNTIL: AtomicU64 = AtomicU64::new(0);
static WILD_UNTIL: AtomicU64 = AtomicU64::new(0);
/// All vCPUs are initialised: one of them may not do it to another in some way of its own.
static IS_COMPLETE: AtomicBool = AtomicBool::new(false);
static IS_WILD: AtomicBool = AtomicBool::new(false);
/// What each vCPU has done.
static DONE: [AtomicU32; cpu::MAX_VCPUS] = [const { AtomicU32::new(0) }; cpu::MAX_VCPUS];
static TRAPS: AtomicU32 = AtomicU32::new(0);
/// How often a vCPU has begun anew, and may.
static RESTARTS: AtomicU32 = AtomicU32::new(0);
const MOST_RESTARTS: u32 = 2000;
/// Each vCPU's address space of user mode.
static SPACES: [Space; cpu::MAX_VCPUS] = [const { Space(Cell::new(None)) }; cpu::MAX_VCPUS];

struct Space(Cell<Option<UserSpace>>);
// SAFETY: each is one vCPU's own.
unsafe impl Sync for Space {}

/// What each vCPU does now: a number of [`operate`]'s.
static LAST: [AtomicU32; cpu::MAX_VCPUS] = [const { AtomicU32::new(0) }; cpu::MAX_VCPUS];

pub(crate) fn run() {
    let seconds = command_line::number("seconds").unwrap_or(10);
    let seed = command_line::number("seed").unwrap_or_else(clock::tsc);
    SEED.store(seed, Ordering::Relaxed);
    arena::init();
    for vector in 0..256 {
        trap::set_handler(vector, on_trap);
    }
    for vector in [
        trap::FAILSAFE,
        trap::SYSCALL,
        trap::SYSENTER,
        trap::SYSCALL32,
    ] {
        trap::set_handler(vector, on_trap);
    }
    trap::set_handler(trap::EVENT, on_event);
    let tame = command_line::number("tame").unwrap_or(seconds);
    println!("hostile for {tame} s; to see the same again: seed={seed}");
    let until = now_ns() + tame * 1_000_000_000;
    TAME_UNTIL.store(until, Ordering::Relaxed);
    WILD_UNTIL.store(until + WILD_NS, Ordering::Relaxed);
    let count = smp::nr_vcpus();
    for vcpu in 1..count {
        smp::start(VcpuId(vcpu), harm);
    }
    IS_COMPLETE.store(true, Ordering::Release);
    harm(VcpuId(0));
}

fn report() {
    let done: [u32; 4] = core::array::from_fn(|vcpu| DONE[vcpu].load(Ordering::Relaxed));
    println!(
        "operations by vCPU: {done:?}; {} exceptions; {} vCPUs that began anew; {} control operations that were done",
        TRAPS.load(Ordering::Relaxed),
        RESTARTS.load(Ordering::Relaxed),
        control::successes()
    );
    // One that sleeps for good does no harm any more, and the test would only seem to.
    let all = done.get(..smp::nr_vcpus() as usize).unwrap_or(&done);
    let (least, most) = (all.iter().min(), all.iter().max());
    let is_one_asleep = least
        .zip(most)
        .is_none_or(|(&least, &most)| least < most / 20);
    assert!(!is_one_asleep, "a vCPU did hardly anything: {done:?}");
}

/// What one vCPU does.
fn harm(vcpu: VcpuId) {
    while !IS_COMPLETE.load(Ordering::Acquire) {
        let _ = hypercall!(SchedOp, SchedOp::Yield.number());
    }
    own_info(vcpu);
    trap::init_callbacks();
    // Its frames are like no others; without it selectors that can't be loaded become null.
    let outcome = trap::register_callback(CallbackType::Failsafe, CallbackFlags::empty(), Vaddr(0));
    assert_eq!(outcome, Ok(0));
    clock::bind_timer();
    assert_eq!(cpu::set_iopl(1), Ok(0));
    let space = user::load_new();
    event::unmask_upcalls();
    let mut dice = Dice::new(SEED.load(Ordering::Relaxed) + u64::from(vcpu.0));
    while now_ns() < TAME_UNTIL.load(Ordering::Relaxed) {
        operate(&mut dice, &space);
        DONE[vcpu.0 as usize].fetch_add(1, Ordering::Relaxed);
    }
    if vcpu == VcpuId(0) {
        report();
        // From here on any end is a good one.
        println!("EXPECT ANYTHING {}", command_line::test_name());
        IS_WILD.store(true, Ordering::SeqCst);
    }
    while !IS_WILD.load(Ordering::SeqCst) {
        let _ = hypercall!(SchedOp, 0u64);
    }
    SPACES[vcpu.0 as usize].0.set(Some(space));
    spare_nothing(vcpu, dice);
    if vcpu == VcpuId(0) {
        report();
    }
}

fn spare_nothing(vcpu: VcpuId, mut dice: Dice) {
    let Some(space) = SPACES[vcpu.0 as usize].0.get() else {
        return;
    };
    dice.is_wild = true;
    while now_ns() < WILD_UNTIL.load(Ordering::Relaxed) {
        mend(vcpu);
        operate(&mut dice, &space);
        DONE[vcpu.0 as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// Gives this vCPU back what every exception needs, which chance may have taken.
fn mend(vcpu: VcpuId) {
    let _ = trap::set_table(&trap::table());
    let stack = cpu::entry_stack_end(vcpu);
    let _ = hypercall!(StackSwitch, FLAT_RING3_SS, stack);
}

/// Where a vCPU goes on, on a new stack, that has lost what it was at.
extern "C" fn begin_anew() -> ! {
    let vcpu = cpu::id();
    let times = RESTARTS.fetch_add(1, Ordering::Relaxed);
    let seed = SEED.load(Ordering::Relaxed) + u64::from(vcpu.0);
    spare_nothing(vcpu, Dice::new(seed ^ u64::from(times + 1) << 32));
    if vcpu == VcpuId(0) {
        report();
        crate::verdict::pass();
    }
    loop {
        let _ = smp::operate_plain(VcpuOp::Down, vcpu);
    }
}

/// Takes the place where the vCPU's events are out of reach of chance.
fn own_info(vcpu: VcpuId) {
    let frame = Frame::alloc();
    let outcome = event::register_info(vcpu, frame, 0);
    assert_eq!(outcome, Ok(0), "the information of {vcpu:?}");
}

fn operate(dice: &mut Dice, space: &UserSpace) {
    let choice = dice.below(68);
    LAST[cpu::id().0 as usize].store(choice as u32, Ordering::Relaxed);
    match choice {
        0..8 => memory::mmu_update(dice),
        8..16 => memory::update_va_mapping(dice),
        16..22 => memory::mmuext(dice),
        22..25 => memory::tree(dice),
        25..31 => memory::store(dice),
        31..35 => memory::reservation(dice),
        35..38 => memory::descriptors(dice),
        38..40 => calls::events(dice),
        40..42 => calls::vcpus(dice),
        42 => calls::schedule(dice),
        43..47 => calls::grants(dice),
        47..49 => calls::state(dice),
        49..53 => calls::any(dice),
        53..55 => calls::multicall(dice),
        55..59 => code::privileged(dice),
        59 => code::load_selector(dice),
        60 => code::random_code(dice, space),
        61 => code::odd_return(dice, space),
        62..66 => control::operate(dice),
        _ => code::kernel_iret(dice),
    }
    event::unmask_upcalls();
}

/// Every exception, and every other way in but events: nothing surprises here.
fn on_trap(trap: &mut trap::Trap) {
    TRAPS.fetch_add(1, Ordering::Relaxed);
    if trap.frame.vector == NMI {
        return;
    }
    if code::is_visit(trap) {
        cpu::this().trap.set(Some(*trap));
        user::leave();
    }
    let fixup = cpu::this().fixup.take();
    if fixup != 0 {
        cpu::this().trap.set(Some(*trap));
        let frame = &mut trap.frame;
        frame.rip = fixup;
        frame.cs = u64::from(FLAT_RING3_CS64) & !3;
        frame.ss = u64::from(FLAT_RING3_SS);
        frame.rsp = cpu::this().probe_rsp.get();
        frame.rflags = rflags::ALWAYS | rflags::IF;
        return;
    }
    match trap.frame.vector {
        // A breakpoint that was set by chance has been met.
        DB => {
            let _ = hypercall!(SetDebugreg, 7u64, 0u64);
            let frame = &mut trap.frame;
            frame.rflags = frame.rflags & !rflags::TF | rflags::RF;
        }
        // The hypervisor has cleared the flag.
        NM => {}
        // When nothing is spared, the harm goes on as long as this kernel can.
        _ if IS_WILD.load(Ordering::SeqCst) && RESTARTS.load(Ordering::Relaxed) < MOST_RESTARTS => {
            let frame = &mut trap.frame;
            frame.rip = begin_anew as *const () as u64;
            frame.cs = u64::from(FLAT_RING3_CS64) & !3;
            frame.ss = u64::from(FLAT_RING3_SS);
            // As after a call.
            frame.rsp = cpu::stack_end(cpu::id()) - 8;
            frame.rflags = rflags::ALWAYS | rflags::IF;
        }
        _ => panic!(
            "{trap:?} on vCPU {:?}, whose last operation was {:?}",
            cpu::id(),
            LAST
        ),
    }
}

fn on_event(trap: &mut trap::Trap) {
    event::dispatch();
    if code::is_visit(trap) {
        cpu::this().trap.set(Some(*trap));
        user::leave();
    }
}
