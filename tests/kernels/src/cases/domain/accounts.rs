//! Every nanosecond of every processor is somebody's: what domains have run and what processors have slept add up to the
//! time that has passed; and for each vCPU what it has run, and what it waited for its turn, which its guest takes as stolen.

use super::super::prelude::*;
use super::sleep_ms;
use crate::clock::{self, MS};
use crate::control::{DATA, Guest, info, physical_processors, sysctl};
use guest_abi::payload::Payload;
use guest_abi::sysctl::SysctlOp;
use guest_abi::sysctl_cpu::CpuIdleTimes;
use guest_abi::time::RunState;

/// What sums may be off, of a hundred.
const PERCENT: u64 = 1;
/// Of a vCPU, where its own account of its time begins in the data page, in words.
const ACCOUNT: usize = 64;
const ACCOUNT_WORDS: usize = 8;

// Asks for the account of its time, always, and counts.
user_code!(
    asks_for_its_account,
    "mov r12, rdi",
    "mov rbx, rsi",
    "mov r13, rdi",
    "shl r13, 6",
    "lea r13, [rbx + r13 + 512]",
    "2: mov eax, 24",
    "mov edi, 4",
    "mov rsi, r12",
    "mov rdx, r13",
    "syscall",
    "inc qword ptr [rbx + 8 * r12]",
    "jmp 2b",
);

/// One whose vCPUs all do that.
fn busy(vcpus: u32) -> Guest {
    let guest = Guest::empty(vcpus);
    guest.build(asks_for_its_account());
    for vcpu in 0..vcpus {
        assert_eq!(guest.set_context(vcpu, &guest.context(vcpu)), Ok(0));
    }
    guest
}

/// What processors have slept, in ns.
fn slept_ns() -> u64 {
    let mut times = [0u64; 64];
    let mut wish = CpuIdleTimes::new_zeroed();
    wish.max_cpus = times.len() as u32;
    wish.info = Vaddr(times.as_mut_ptr() as u64);
    let mut content = Payload::of(&wish);
    assert_eq!(sysctl(SysctlOp::GetCpuInfo, &mut content), Ok(0));
    let told = content.read::<CpuIdleTimes>().nr_cpus;
    // SAFETY: the hypervisor has written there.
    (0..told as usize)
        .map(|cpu| unsafe { times.as_ptr().add(cpu).read_volatile() })
        .sum()
}

fn is_close(value: u64, wanted: u64) -> bool {
    value.abs_diff(wanted) <= wanted * PERCENT / 100
}

/// Lets domains run for so long and compares.
fn compare(guests: &[&Guest], ms: u64, processors: u64) -> u64 {
    let accounts = || {
        let ran = guests
            .iter()
            .map(|guest| guest.info().cpu_time)
            .sum::<u64>();
        let own = info(DomId(0)).expect("this domain").cpu_time;
        (clock::now_ns(), ran + own, slept_ns())
    };
    let before = accounts();
    sleep_ms(ms);
    let after = accounts();
    let passed = (after.0 - before.0) * processors;
    let (ran, slept) = (after.1 - before.1, after.2 - before.2);
    println!(
        "{} ms of {processors} processors: {} ms run, {} ms slept",
        (after.0 - before.0) / MS,
        ran / MS,
        slept / MS
    );
    assert!(
        is_close(ran + slept, passed),
        "{ran} ns run and {slept} ns slept are not {passed} ns"
    );
    slept
}

pub(crate) fn run() {
    let processors = u64::from(physical_processors());
    let one = busy(1);
    one.start();
    sleep_ms(200);
    let slept = compare(&[&one], 2000, processors);
    if processors > 1 {
        assert!(slept > 0, "nobody has slept");
    }
    let others = [(); 2].map(|()| busy(processors as u32));
    others.iter().for_each(Guest::start);
    sleep_ms(500);
    let account = |guest: &Guest, vcpu: usize| -> [u64; 4] {
        let first = ACCOUNT + vcpu * ACCOUNT_WORDS + 2;
        core::array::from_fn(|state| guest.window.read(DATA, first + state))
    };
    let began = clock::now_ns();
    let before = others.each_ref().map(|guest| account(guest, 0));
    let ran_before = one.info().cpu_time;
    let first_before = account(&one, 0);
    compare(&[&one, &others[0], &others[1]], 8000, processors);
    let passed = clock::now_ns() - began;
    let ran = one.info().cpu_time - ran_before;
    let first = account(&one, 0);
    // It was looked at when it ran last, which may be two slices of others ago.
    let slices = 70 * MS;
    let told = first[RunState::Running.number() as usize]
        - first_before[RunState::Running.number() as usize];
    assert!(
        told.abs_diff(ran) <= ran / 100 + slices,
        "it is told that it has run for {told} ns, and others for {ran} ns"
    );
    for (guest, before) in others.iter().zip(before).chain([(&one, first_before)]) {
        let after = account(guest, 0);
        let states: [u64; 4] = core::array::from_fn(|state| after[state] - before[state]);
        let runnable = states[RunState::Runnable.number() as usize];
        let sum: u64 = states.iter().sum();
        println!("stolen: {} ms of {} ms", runnable / MS, sum / MS);
        assert!(
            sum.abs_diff(passed) <= passed / 100 + slices,
            "its states add up to {sum} ns of {passed} ns"
        );
        // The first one's share is more than the processor that it can use, if there are several.
        assert!(
            guest.id == one.id || runnable > passed / 10,
            "nothing was stolen: {runnable} ns"
        );
    }
    one.end();
    others.iter().for_each(Guest::end);
}
