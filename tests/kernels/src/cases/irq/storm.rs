//! A device that sends message after message, as fast as it can be made to: the kernel goes on, and the last one is not lost.

use super::*;
use crate::clock::{self, MS};
use guest_abi::event_channel::BindPirqFlags;

/// Messages in a row.
const MESSAGES: u32 = 20_000;
const MSI: u8 = 5;

pub(crate) fn run() {
    let edu = Edu::find();
    let capability = edu.device.capability(MSI).expect("it has messages");
    let number = pirq::map(&mut pirq::message(edu.device, None)).expect("it can be mapped");
    edu.device
        .write_u16(capability + 2, edu.device.read_u16(capability + 2) | 1);
    let port = pirq::bind(number as u32, BindPirqFlags::empty()).expect("nobody has it");
    event::unmask_upcalls();
    for _ in 0..2 {
        let start = clock::now_ns();
        for _ in 0..MESSAGES {
            edu.raise();
        }
        let took_ns = clock::now_ns() - start;
        println!("{MESSAGES} messages in {} us", took_ns / 1000);
        // The last one of those, wherever it waits.
        let seen = event::count(port);
        edu.raise();
        smp::wait_until("the last message", || event::count(port) > seen);
        edu.acknowledge();
        // Long enough for whoever has held them back to forgive.
        let quiet = clock::now_ns() + 100 * MS;
        smp::wait_until("peace", || clock::now_ns() > quiet);
    }
    // And all is as before.
    for _ in 0..10 {
        let seen = event::count(port);
        edu.raise();
        smp::wait_until("a message", || event::count(port) == seen + 1);
        edu.acknowledge();
    }
    assert_eq!(event::close(port), Ok(0));
    assert_eq!(pirq::unmap(number), Ok(0));
}
