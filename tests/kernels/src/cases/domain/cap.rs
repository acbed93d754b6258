//! A domain with a cap of a quarter of a processor gets that, with and without others that want to run, and no more;
//! without the cap it gets the rest.

use super::{set_share, sleep_ms, spinning};
use crate::clock;
use crate::command_line;
use crate::control::Guest;

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
    assert!(
        (230..=270).contains(&alone),
        "alone: {alone} tenths of a percent"
    );
    let others = [(); 2].map(|()| spinning(1));
    others.iter().for_each(Guest::start);
    sleep_ms(300);
    let beside = used(&capped, ms);
    assert!(
        (230..=270).contains(&beside),
        "beside others: {beside} tenths of a percent"
    );
    others.iter().for_each(Guest::end);
    set_share(&capped, 256, 0);
    sleep_ms(300);
    let free = used(&capped, ms);
    assert!(free >= 800, "without a cap: {free} tenths of a percent");
    capped.end();
}
