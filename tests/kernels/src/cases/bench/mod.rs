//! What the hypervisor's services cost, in instructions where the time stamp counter counts those (QEMU's
//! `-icount shift=0`): a line `COST name: number` for each.
//!
//! The number is that of everything between two looks at the counter, less what two looks cost with nothing
//! between them: the hypervisor's instructions and the few of the guest that ask for the service or answer
//! the hypervisor. Those are in assembly or inlined, and the same on every hypervisor.

use super::prelude::*;

mod calls;
mod entries;
mod events;
mod mappings;
mod pins;
mod ptes;
mod switches;

/// Of so many measurements of each the median counts: timers of the hypervisor's own fall into some.
const SAMPLES: usize = 33;

/// Measurements of one service.
struct Samples {
    costs: [u64; SAMPLES],
    taken: usize,
}

impl Samples {
    const fn new() -> Self {
        Self {
            costs: [0; SAMPLES],
            taken: 0,
        }
    }

    fn add(&mut self, cost: u64) {
        if let Some(place) = self.costs.get_mut(self.taken) {
            *place = cost;
            self.taken += 1;
        }
    }

    fn median(&mut self) -> u64 {
        let taken = &mut self.costs[..self.taken];
        taken.sort_unstable();
        taken[taken.len() / 2]
    }

    /// Prints the median less what the looks at the counter cost.
    fn report(&mut self, name: &str, overhead: u64) {
        println!("COST {name}: {}", self.median().saturating_sub(overhead));
    }
}

/// Reads the counter without anything that orders it: instructions are counted one by one.
#[inline(always)]
fn counter() -> u64 {
    let (low, high): (u64, u64);
    // SAFETY: the instruction exists on every processor for 64-bit kernels. Not without side effects, so that it
    // stays where it is among others.
    unsafe {
        core::arch::asm!("rdtsc", out("rax") low, out("rdx") high, options(nostack, preserves_flags));
    }
    high << 32 | low
}

/// Two looks with nothing between them.
fn overhead() -> u64 {
    let mut samples = Samples::new();
    for _ in 0..SAMPLES {
        let start = counter();
        samples.add(counter() - start);
    }
    samples.median()
}

/// Measures `operation`, before each of which `prepare` is done at nobody's cost.
#[inline(always)]
fn measure(name: &str, mut prepare: impl FnMut(usize), mut operation: impl FnMut(usize)) {
    let overhead = overhead();
    let mut samples = Samples::new();
    // The first ones find nothing cached.
    for round in 0..SAMPLES + 3 {
        prepare(round);
        let start = counter();
        operation(round);
        let cost = counter() - start;
        if round >= 3 {
            samples.add(cost);
        }
    }
    samples.report(name, overhead);
}

/// A hypercall whose answer is looked at when the counter has been.
#[inline(always)]
fn call(number: u64, [rdi, rsi, rdx, r10]: [u64; 4]) -> u64 {
    let result;
    // SAFETY: as in `crate::hypercall::raw`.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") number => result,
            inlateout("rdi") rdi => _,
            inlateout("rsi") rsi => _,
            inlateout("rdx") rdx => _,
            inlateout("r10") r10 => _,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    result
}

/// Measures a hypercall that must return 0.
fn measure_call(
    name: &str,
    number: guest_abi::hypercall::Hypercall,
    mut arguments: impl FnMut(usize) -> [u64; 4],
) {
    let mut given = [0; 4];
    let given = core::cell::Cell::from_mut(&mut given);
    let mut worst = 0;
    measure(
        name,
        |round| given.set(arguments(round)),
        |_| worst |= call(number.number(), given.get()),
    );
    assert_eq!(worst, 0, "{name}");
}

pub(crate) fn run() {
    event::mask_upcalls();
    calls::run();
    mappings::run();
    ptes::run();
    pins::run();
    events::run();
    entries::run();
    switches::run();
}
