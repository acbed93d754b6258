//! Learning the rate of the time stamp counter from a counter of known rate, on a machine that may stop in between.
//!
//! What runs the hypervisor may be a thread of an emulator, or a processor that its firmware borrows now and then. A
//! pause between reading the one counter and the other looks like a rate that is far off. So the time stamp is
//! read before and after the other counter, which says how far off it may be; and a rate counts when two measurements
//! agree, because a pause that is longer than a narrow counter's turn is in no bracket.
#![forbid(unsafe_code)]

/// A counter of known rate.
pub trait Counter {
    /// Ticks since some start, modulo `self.mask() + 1`.
    fn read(&self) -> u64;
    /// All bits that count.
    fn mask(&self) -> u64;
    /// Ticks in a second.
    fn hz(&self) -> u64;
}

/// How long a measurement lasts.
const MEASURE_US: u64 = 10_000;
/// Measurements at the most.
const MOST: usize = 16;
/// How far off one may be that counts, in millionths.
const MAX_PPM: u64 = 2_000;
/// How far two may differ that agree, in millionths: both errors, and a tick of the counter at either end.
const MAX_DIFFERENCE_PPM: u64 = 10_000;
/// Reads of a counter that does not move before it is given up.
const PATIENCE: u32 = 1_000_000;
/// The lowest rate that is believed, in kHz.
const MIN_KHZ: u64 = 1_000;

/// A reading of the counter, and of the time stamp around it.
#[derive(Clone, Copy)]
struct Reading {
    count: u64,
    before: u64,
    after: u64,
}

impl Reading {
    fn take(counter: &impl Counter, tsc: &impl Fn() -> u64) -> Self {
        let before = tsc();
        let count = counter.read();
        Self {
            count,
            before,
            after: tsc(),
        }
    }

    fn width(&self) -> u64 {
        self.after.wrapping_sub(self.before)
    }

    fn middle(&self) -> u64 {
        self.before.wrapping_add(self.width() / 2)
    }
}

/// A rate, and how far off it may be.
#[derive(Clone, Copy)]
struct Rate {
    khz: u64,
    ppm: u64,
}

impl Rate {
    fn agrees_with(&self, other: &Self) -> bool {
        let difference = self.khz.abs_diff(other.khz);
        self.ppm <= MAX_PPM
            && other.ppm <= MAX_PPM
            && u128::from(difference) * 1_000_000
                <= u128::from(self.khz) * u128::from(MAX_DIFFERENCE_PPM)
    }
}

/// The rate of the time stamp in kHz by `counter`; `None` if that does not count. If no two of many measurements
/// agree it is by the one that may be least far off.
pub fn measured_khz(counter: &impl Counter, tsc: &impl Fn() -> u64) -> Option<u64> {
    let mut rates: [Option<Rate>; MOST] = [None; MOST];
    for index in 0..MOST {
        let rate = measure(counter, tsc)?;
        let known = rates.iter().flatten();
        if known.clone().any(|other| other.agrees_with(&rate)) {
            return Some(rate.khz);
        }
        if let Some(place) = rates.get_mut(index) {
            *place = Some(rate);
        }
    }
    let best = rates.iter().flatten().min_by_key(|rate| rate.ppm);
    best.map(|rate| rate.khz)
}

fn measure(counter: &impl Counter, tsc: &impl Fn() -> u64) -> Option<Rate> {
    let wanted = counter.hz().saturating_mul(MEASURE_US) / 1_000_000;
    // An edge of the counter first, so that its granularity counts once and not twice.
    let edge = counter.read();
    let first = (0..PATIENCE)
        .map(|_| Reading::take(counter, tsc))
        .find(|reading| reading.count != edge)?;
    loop {
        let mut is_moving = false;
        for _ in 0..PATIENCE {
            let last = Reading::take(counter, tsc);
            let elapsed = last.count.wrapping_sub(first.count) & counter.mask();
            is_moving |= elapsed != 0;
            if elapsed < wanted {
                continue;
            }
            let ticks = last.middle().wrapping_sub(first.middle());
            let khz = u128::from(ticks) * u128::from(counter.hz()) / (u128::from(elapsed) * 1000);
            let width = u128::from(first.width()) + u128::from(last.width());
            let ppm = (width / 2) * 1_000_000 / u128::from(ticks.max(1));
            return Some(Rate {
                khz: u64::try_from(khz).ok().filter(|&khz| khz >= MIN_KHZ)?,
                ppm: u64::try_from(ppm).unwrap_or(u64::MAX),
            });
        }
        if !is_moving {
            return None;
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use core::cell::Cell;

    const KHZ: u64 = 2_300_000;

    /// Time in ns, which reading a counter takes some of, and the pauses that come: at which read, how long.
    struct World<'a> {
        now: Cell<u64>,
        reads: Cell<u64>,
        pauses: &'a [(u64, u64)],
        mask: u64,
        hz: u64,
    }

    impl World<'_> {
        fn step(&self, ns: u64) -> u64 {
            let read = self.reads.get() + 1;
            self.reads.set(read);
            let pause = self.pauses.iter().find(|(at, _)| *at == read);
            let now = self.now.get() + ns + pause.map_or(0, |(_, long)| *long);
            self.now.set(now);
            now
        }

        fn tsc(&self) -> u64 {
            self.step(20) * KHZ / 1_000_000
        }
    }

    impl Counter for World<'_> {
        fn read(&self) -> u64 {
            (u128::from(self.step(1000)) * u128::from(self.hz) / 1_000_000_000) as u64 & self.mask
        }
        fn mask(&self) -> u64 {
            self.mask
        }
        fn hz(&self) -> u64 {
            self.hz
        }
    }

    fn measured(pauses: &[(u64, u64)], mask: u64, hz: u64) -> Option<u64> {
        let world = World {
            now: Cell::new(12345),
            reads: Cell::new(0),
            pauses,
            mask,
            hz,
        };
        measured_khz(&world, &|| world.tsc())
    }

    fn is_right(khz: Option<u64>) -> bool {
        khz.is_some_and(|khz| khz.abs_diff(KHZ) < KHZ / 100)
    }

    const COUNTERS: [(u64, u64); 3] = [
        (u64::MAX, 100_000_000),
        (0xff_ffff, 3_579_545),
        (0xffff, 1_193_182),
    ];

    #[test]
    fn pauses_anywhere_do_not_matter() {
        for (mask, hz) in COUNTERS {
            assert!(is_right(measured(&[], mask, hz)), "{hz}");
            // A measurement has some ten thousand reads.
            for at in (1..60).chain((100..60_000).step_by(977)) {
                for long in [100_000, 3_000_000, 60_000_000, 5_000_000_000] {
                    let khz = measured(&[(at, long)], mask, hz);
                    assert!(is_right(khz), "{hz} Hz, {long} ns at read {at}: {khz:?}");
                }
            }
        }
    }

    #[test]
    fn many_pauses_leave_the_best_measurement() {
        let pauses: Vec<_> = (0..200)
            .map(|index| (1 + index * 3001, 2_000_000))
            .collect();
        for (mask, hz) in COUNTERS {
            assert!(is_right(measured(&pauses, mask, hz)), "{hz}");
        }
    }

    #[test]
    fn what_does_not_count_is_no_clock() {
        assert_eq!(measured(&[], 0, 1_000_000), None);
    }
}
