//! What a vCPU has done last: its latest hypercalls and exceptions, for a person who wonders what it is at.
//!
//! Written by the processor that runs the vCPU, read by whoever asks, at any time: an entry that is being
//! replaced at that moment may show parts of two.

#![forbid(unsafe_code)]

use core::fmt;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use guest_abi::hypercall::Hypercall;

/// Entries that are kept.
const ENTRIES: usize = 16;

/// What an entry is about, in the lowest bits of [`Entry::what`]; the number is above.
mod kind {
    pub(super) const CALL: u64 = 1;
    pub(super) const UNFINISHED_CALL: u64 = 2;
    pub(super) const EXCEPTION: u64 = 3;
    pub(super) const MASK: u64 = 3;
    pub(super) const BITS: u32 = 2;
}

#[derive(Debug)]
struct Entry {
    what: AtomicU64,
    /// First argument of a call; address of a page fault.
    argument: AtomicU64,
    /// Result of a call; error code of an exception.
    result: AtomicU64,
    rip: AtomicU64,
}

/// The ring.
#[derive(Debug)]
pub struct History {
    entries: [Entry; ENTRIES],
    /// How many have been written.
    count: AtomicU32,
}

impl History {
    /// Nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            entries: [const {
                Entry {
                    what: AtomicU64::new(0),
                    argument: AtomicU64::new(0),
                    result: AtomicU64::new(0),
                    rip: AtomicU64::new(0),
                }
            }; ENTRIES],
            count: AtomicU32::new(0),
        }
    }

    /// A hypercall from `rip` is done.
    #[inline]
    pub fn called(&self, number: u64, argument: u64, result: u64, rip: u64) {
        self.add(number << kind::BITS | kind::CALL, argument, result, rip);
    }

    /// A hypercall from `rip` has done a part of its work and will go on.
    pub fn called_again(&self, number: u64, argument: u64, rip: u64) {
        self.add(
            number << kind::BITS | kind::UNFINISHED_CALL,
            argument,
            0,
            rip,
        );
    }

    /// An exception at `rip`. `address` is that of a page fault.
    #[inline]
    pub fn raised(&self, vector: u32, address: u64, error_code: u32, rip: u64) {
        let what = u64::from(vector) << kind::BITS | kind::EXCEPTION;
        self.add(what, address, u64::from(error_code), rip);
    }

    #[inline]
    fn add(&self, what: u64, argument: u64, result: u64, rip: u64) {
        // One writer at a time: no locked instruction is needed.
        let count = self.count.load(Ordering::Relaxed);
        let entry = &self.entries[count as usize % ENTRIES];
        entry.what.store(what, Ordering::Relaxed);
        entry.argument.store(argument, Ordering::Relaxed);
        entry.result.store(result, Ordering::Relaxed);
        entry.rip.store(rip, Ordering::Relaxed);
        self.count.store(count.wrapping_add(1), Ordering::Relaxed);
    }

    /// Calls `show` with a line for each entry, the oldest first.
    pub fn for_each_line(&self, mut show: impl FnMut(fmt::Arguments<'_>)) {
        let count = self.count.load(Ordering::Relaxed) as usize;
        for index in 0..ENTRIES {
            let entry = &self.entries[(count + index) % ENTRIES];
            let what = entry.what.load(Ordering::Relaxed);
            let number = what >> kind::BITS;
            let argument = entry.argument.load(Ordering::Relaxed);
            let result = entry.result.load(Ordering::Relaxed);
            let rip = entry.rip.load(Ordering::Relaxed);
            match what & kind::MASK {
                kind::CALL => show(format_args!(
                    "{}({argument:#x}, …) = {} at {rip:#x}",
                    Call(number),
                    result as i64
                )),
                kind::UNFINISHED_CALL => show(format_args!(
                    "{}({argument:#x}, …), to be continued, at {rip:#x}",
                    Call(number)
                )),
                kind::EXCEPTION if number == 14 => show(format_args!(
                    "page fault on {argument:#x} (error code {result:#x}) at {rip:#x}"
                )),
                kind::EXCEPTION => show(format_args!(
                    "exception {number} (error code {result:#x}) at {rip:#x}"
                )),
                _ => {}
            }
        }
    }
}

/// The name of a hypercall.
struct Call(u64);

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Hypercall::try_from(self.0) {
            Ok(known) => write!(f, "{known:?}"),
            Err(_) => write!(f, "hypercall {}", self.0),
        }
    }
}

impl Default for History {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn lines(history: &History) -> Vec<String> {
        let mut lines = Vec::new();
        history.for_each_line(|line| lines.push(line.to_string()));
        lines
    }

    #[test]
    fn each_kind_says_what_it_was() {
        let history = History::new();
        assert!(lines(&history).is_empty());
        history.called(29, 1, 0, 0x1000);
        history.called(12, 7, -14i64 as u64, 0x1002);
        history.called_again(1, 0x2000, 0x1004);
        history.raised(14, 0xdead, 2, 0x1006);
        history.raised(13, 0, 0x10, 0x1008);
        assert_eq!(
            lines(&history),
            [
                "SchedOp(0x1, …) = 0 at 0x1000",
                "MemoryOp(0x7, …) = -14 at 0x1002",
                "MmuUpdate(0x2000, …), to be continued, at 0x1004",
                "page fault on 0xdead (error code 0x2) at 0x1006",
                "exception 13 (error code 0x10) at 0x1008",
            ]
        );
    }

    #[test]
    fn the_latest_are_kept() {
        let history = History::new();
        for number in 1000..1040 {
            history.called(number, 0, 0, 0);
        }
        let lines = lines(&history);
        assert_eq!(lines.len(), ENTRIES);
        assert!(lines[0].starts_with("hypercall 1024("));
        assert!(lines[ENTRIES - 1].starts_with("hypercall 1039("));
    }
}
