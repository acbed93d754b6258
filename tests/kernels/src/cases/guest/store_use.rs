//! Writes to the store and reads back, and tells there how often it has and how long it has waited at most.

use super::super::prelude::*;
use crate::clock::{MS, now_ns};
use crate::shared_ring::{Answer, Store, print_on_console};
use core::fmt::{self, Write};
use guest_abi::store_wire::{MAX_PAYLOAD, MessageType};

/// A number, as text.
struct Digits {
    bytes: [u8; 20],
    len: usize,
}

impl Digits {
    fn of(number: u64) -> Self {
        let mut digits = Self {
            bytes: [0; 20],
            len: 0,
        };
        let _ = write!(digits, "{number}");
        digits
    }

    fn text(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Write for Digits {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes[self.len..self.len + text.len()].copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

pub(crate) fn run() {
    print_on_console("the guest runs");
    let mut store = Store::connect();
    let mut answer = Answer {
        header: FromZeros::new_zeroed(),
        payload: [0; MAX_PAYLOAD as usize],
    };
    let mut longest = 0;
    for count in 1.. {
        let digits = Digits::of(count);
        let mut timed = |kind, payload: &[&[u8]], answer: &mut Answer| {
            let began = now_ns();
            store.ask(kind, 0, payload, answer);
            longest = now_ns().saturating_sub(began).max(longest);
            assert!(!answer.is_error(), "request {count} is refused");
        };
        timed(
            MessageType::Write,
            &[b"data/count\0", digits.text()],
            &mut answer,
        );
        timed(MessageType::Read, &[b"data/count\0"], &mut answer);
        assert_eq!(answer.content(), digits.text());
        let longest_ms = Digits::of(longest / MS);
        store.ask(
            MessageType::Write,
            0,
            &[b"data/longest-ms\0", longest_ms.text()],
            &mut answer,
        );
        assert!(!answer.is_error(), "the time is refused");
    }
}
