//! Three domains that want all processors get them by weight.

use super::super::prelude::*;
use super::{set_share, sleep_ms, spinning};
use crate::command_line;
use crate::control::Guest;

const WEIGHTS: [u16; 3] = [128, 256, 512];
/// What a share may be off, of a thousand of what it is to be.
const TOLERANCE: u64 = 50;

pub(crate) fn run() {
    let processors = smp::nr_vcpus();
    let guests = WEIGHTS.map(|weight| {
        let guest = spinning(processors);
        set_share(&guest, weight, 0);
        guest
    });
    guests.iter().for_each(Guest::start);
    sleep_ms(300);
    let times = || guests.each_ref().map(|guest| guest.info().cpu_time);
    let before = times();
    // On one processor a slice or two of the least domain, in which the look may fall, are 5 % of what it has in 8 s.
    let seconds = match command_line::number("processors") {
        Some(1) => 20,
        _ => 8,
    };
    sleep_ms(1000 * command_line::number("seconds").unwrap_or(seconds));
    let after = times();
    let ran: [u64; 3] = core::array::from_fn(|index| after[index] - before[index]);
    let all: u64 = ran.iter().sum();
    println!(
        "{} ms, {} ms, {} ms",
        ran[0] / 1_000_000,
        ran[1] / 1_000_000,
        ran[2] / 1_000_000
    );
    let wanted = WEIGHTS.map(|weight| all * u64::from(weight) / 896);
    let errors = ran.iter().zip(wanted);
    let errors = errors.map(|(&ran, wanted)| ran.abs_diff(wanted) * 1000 / wanted);
    // The system tests compare it with the reference's.
    println!(
        "COST greatest error of a share: {}",
        errors.max().unwrap_or(0)
    );
    for ((ran, wanted), weight) in ran.iter().zip(wanted).zip(WEIGHTS) {
        assert!(
            ran.abs_diff(wanted) <= wanted * TOLERANCE / 1000,
            "weight {weight}: {ran} ns instead of {wanted}"
        );
    }
    // Each has really run.
    for guest in &guests {
        assert!(
            (0..processors as usize)
                .all(|vcpu| guest.window.read(crate::control::DATA, vcpu) > 1000)
        );
    }
    guests.iter().for_each(Guest::end);
}
