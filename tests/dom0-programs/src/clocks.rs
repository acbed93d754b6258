//! `clocks SECONDS`: whether time goes forward on all processors, under load.
//!
//! On each processor one thread looks at the clock and compares it with the latest time that anybody has seen before.
//! Others load the processors and move between them, and some sleep, which wakes processors and must never end early.
//! The last line says what was found: `clocks: … looks, … backwards, …`.
#![forbid(unsafe_code)]

use nix::sched::{CpuSet, sched_setaffinity};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// How long the sleepers sleep.
const NAPS_US: [u64; 4] = [100, 1_000, 4_000, 37_000];
/// Numbers that each loader adds up before it looks whether it shall end.
const LOAD: u64 = 20_000;

/// What all threads have found.
#[derive(Default)]
struct Found {
    /// The latest time that anybody has seen, ns.
    latest: AtomicU64,
    looks: AtomicU64,
    backwards: AtomicU64,
    /// The largest step backwards, ns.
    worst_ns: AtomicU64,
    naps: AtomicU64,
    early_naps: AtomicU64,
    is_over: AtomicBool,
}

/// A clock, ns.
fn now_ns(clock: ClockId) -> u64 {
    let Ok(time) = clock_gettime(clock) else {
        return 0;
    };
    time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
}

impl Found {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Looks at the clock again and again.
    fn watch(&self) {
        let mut looks = 0;
        while !self.is_over() {
            // Whatever is in `latest` was seen before this look begins.
            let latest = self.latest.load(Ordering::SeqCst);
            let now = now_ns(ClockId::CLOCK_MONOTONIC);
            if now < latest {
                self.backwards.fetch_add(1, Ordering::Relaxed);
                self.worst_ns.fetch_max(latest - now, Ordering::Relaxed);
            }
            self.latest.fetch_max(now, Ordering::SeqCst);
            looks += 1;
        }
        self.looks.fetch_add(looks, Ordering::Relaxed);
    }

    fn load(&self) {
        while !self.is_over() {
            std::hint::black_box((0..LOAD).fold(0u64, |sum, n| sum.wrapping_add(n * n)));
        }
    }

    fn nap(&self) {
        for &nap_us in NAPS_US.iter().cycle() {
            if self.is_over() {
                return;
            }
            let before = now_ns(ClockId::CLOCK_MONOTONIC);
            std::thread::sleep(Duration::from_micros(nap_us));
            let slept_ns = now_ns(ClockId::CLOCK_MONOTONIC).saturating_sub(before);
            self.naps.fetch_add(1, Ordering::Relaxed);
            if slept_ns < nap_us * 1000 {
                self.early_naps.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Keeps this thread on one processor.
fn stay_on(cpu: usize) -> nix::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    sched_setaffinity(Pid::from_raw(0), &set)
}

fn main() -> ExitCode {
    let Some(seconds) = std::env::args()
        .nth(1)
        .and_then(|word| word.parse::<u64>().ok())
    else {
        eprintln!("usage: clocks SECONDS");
        return ExitCode::from(2);
    };
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let found = Found::default();
    println!("clocks: begin");
    let begin = [
        ClockId::CLOCK_MONOTONIC,
        ClockId::CLOCK_MONOTONIC_RAW,
        ClockId::CLOCK_REALTIME,
    ]
    .map(now_ns);
    std::thread::scope(|scope| {
        for cpu in 0..cpus {
            let found = &found;
            scope.spawn(move || match stay_on(cpu) {
                Ok(()) => found.watch(),
                Err(error) => println!("clocks: processor {cpu} can't be had: {error}"),
            });
            scope.spawn(|| found.load());
            scope.spawn(|| found.nap());
        }
        std::thread::sleep(Duration::from_secs(seconds));
        found.is_over.store(true, Ordering::Relaxed);
    });
    let end = [
        ClockId::CLOCK_MONOTONIC,
        ClockId::CLOCK_MONOTONIC_RAW,
        ClockId::CLOCK_REALTIME,
    ]
    .map(now_ns);
    let [monotonic, raw, real] =
        [0, 1, 2].map(|clock| end[clock].saturating_sub(begin[clock]) / 1_000_000);
    println!("clocks: end");
    let value = |number: &AtomicU64| number.load(Ordering::Relaxed);
    println!("clocks: {monotonic} ms monotonic, {raw} ms raw, {real} ms real");
    println!(
        "clocks: {cpus} processors, {} looks, {} backwards, by {} ns at most, {} naps, {} early",
        value(&found.looks),
        value(&found.backwards),
        value(&found.worst_ns),
        value(&found.naps),
        value(&found.early_naps)
    );
    if value(&found.backwards) == 0 && value(&found.early_naps) == 0 && value(&found.looks) != 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
