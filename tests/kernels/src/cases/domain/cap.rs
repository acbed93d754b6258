//! A domain with a cap of a quarter of a processor gets that, with and without others that want to run, and no more;
//! without the cap it gets the rest.

use super::{set_share, sleep_ms, spinning};
use crate::clock;
use crate::command_line;
use crate::control::Guest;

/// What it is to get, in tenths of a percent of one processor, and by how much that may be missed.
const WANTED: u64 = 250;
const TOLERANCE: u64 = 20;

/// In tenths of a percent of one processor, for so many milliseconds.
fn used(guest: &Guest, ms: u64) -> u64 {
    let (since, before) = (clock::now_ns(), guest.info().cpu_time);
    sleep_ms(ms);
    let lasted = clock::now_ns() - since;
    let tenths = (guest.info().cpu_time - before) * 1000 / lasted;
    println!("{}.{} %", tenths / 10, tenths % 10);
    tenths
}

pub(crate) fn run() {
    let ms = 1000 * command_line::number("seconds").unwrap_or(3);
    let capped = spinning(1);
    set_share(&capped, 256, 25);
    capped.start();
    sleep_ms(300);
    let alone = used(&capped, ms);
    let others = [(); 2].map(|()| spinning(1));
    others.iter().for_each(Guest::start);
    sleep_ms(300);
    let beside = used(&capped, ms);
    // The system tests compare these with the reference's.
    println!("COST error of a cap alone: {}", alone.abs_diff(WANTED));
    println!(
        "COST error of a cap beside others: {}",
        beside.abs_diff(WANTED)
    );
    for (what, used) in [("alone", alone), ("beside others", beside)] {
        assert!(
            used.abs_diff(WANTED) <= TOLERANCE,
            "{what}: {used} tenths of a percent"
        );
    }
    others.iter().for_each(Guest::end);
    set_share(&capped, 256, 0);
    sleep_ms(300);
    let free = used(&capped, ms);
    assert!(free >= 800, "without a cap: {free} tenths of a percent");
    capped.end();
}
