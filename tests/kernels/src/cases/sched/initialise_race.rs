//! Two vCPUs that initialise a third at the same moment: one of them succeeds, and the third runs with the
//! descriptor table that this one has named.

use super::super::prelude::*;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use guest_abi::vcpu_context::VcpuGuestContext;
use guest_abi::vcpu_op::VcpuOp;

/// Who is initialised; two others try.
const NEW: [VcpuId; 2] = [VcpuId(2), VcpuId(3)];
const RACERS: usize = 2;
/// Pages of a table, all that there may be: looking at them takes its time.
const PAGES: usize = 14;
/// The selector that tells the tables apart by its base.
const SELECTOR: u64 = 2 << 3 | 3;

/// Racers that are ready, in all rounds together.
static READY: AtomicU32 = AtomicU32::new(0);
/// Each racer's answer: 0 for none, 1 for success, 2 for "exists".
static ANSWERS: [[AtomicU32; RACERS]; NEW.len()] =
    [const { [const { AtomicU32::new(0) }; RACERS] }; NEW.len()];
/// What a new vCPU finds behind its selector.
static BASE: AtomicU64 = AtomicU64::new(0);

const fn base(racer: usize) -> u64 {
    0x10_0000 * (racer as u64 + 1)
}

fn contexts(racer: usize) -> [VcpuGuestContext; NEW.len()] {
    let table: [Frame; PAGES] = Frame::alloc_many();
    table[0].write(
        SELECTOR as usize >> 3,
        super::super::segment::data(base(racer), 3),
    );
    table.into_iter().for_each(memory::make_readonly);
    NEW.map(|vcpu| {
        let mut context = smp::context(vcpu);
        context.gdt_ents = (PAGES * 512) as u64;
        for (to, from) in context.gdt_frames.iter_mut().zip(table) {
            *to = from.mfn().0;
        }
        context
    })
}

fn race(racer: usize) {
    let contexts = contexts(racer);
    for (round, (vcpu, context)) in NEW.into_iter().zip(&contexts).enumerate() {
        let expected = ((round + 1) * RACERS) as u32;
        READY.fetch_add(1, SeqCst);
        wait_for(expected);
        let answer = match smp::operate(VcpuOp::Initialise, vcpu, context) {
            Ok(0) => 1,
            Err(Errno::EEXIST) => 2,
            other => panic!("initialise: {other:?}"),
        };
        ANSWERS[round][racer].store(answer, SeqCst);
        smp::wait_until("the other racer", || {
            ANSWERS[round].iter().all(|answer| answer.load(SeqCst) != 0)
        });
    }
}

/// Waits for the other racer closely; on one processor in turns.
fn wait_for(expected: u32) {
    for _ in 0..1_000_000 {
        if READY.load(SeqCst) >= expected {
            return;
        }
        core::hint::spin_loop();
    }
    smp::wait_until("the other racer to be ready", || {
        READY.load(SeqCst) >= expected
    });
}

fn racer(_: VcpuId) {
    race(1);
}

fn new(_: VcpuId) {
    let base: u64;
    let trap = probe!(
        "mov fs, {selector:e}",
        "mov ecx, 0xc0000100",
        "rdmsr",
        "mov fs, {null:e}";
        selector = in(reg) SELECTOR,
        null = in(reg) 0,
        out("rax") base,
        out("rdx") _,
        out("rcx") _,
    );
    BASE.store(if trap.is_some() { u64::MAX } else { base }, SeqCst);
}

pub(crate) fn run() {
    smp::need(4);
    smp::start(VcpuId(1), racer);
    race(0);
    for (vcpu, answers) in NEW.into_iter().zip(&ANSWERS) {
        let answers = answers.each_ref().map(|answer| answer.load(SeqCst));
        let winner = match answers {
            [1, 2] => 0,
            [2, 1] => 1,
            _ => panic!("{vcpu:?}: {answers:?}"),
        };
        BASE.store(0, SeqCst);
        smp::set_main(vcpu, new);
        assert_eq!(smp::operate_plain(VcpuOp::Up, vcpu), Ok(0));
        smp::wait_until("the new vCPU", || BASE.load(SeqCst) != 0);
        assert_eq!(BASE.load(SeqCst), base(winner), "{vcpu:?}");
    }
}
