//! What is taken from a guest, and what is kept of it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// KiB a second that a guest may print for long, unless an administrator says another number.
pub const DEFAULT_RATE_KIB: u64 = 1 << 10;
/// What it may print at once is this part of that.
const BURST_PART: u64 = 4;
/// Bytes that are kept for who attaches, unless the store says another limit.
pub const DEFAULT_LIMIT: usize = 1 << 20;
/// Bytes that are kept at most, whatever the store says.
pub const MAX_LIMIT: usize = 16 << 20;

/// How much a guest may print. What it may not yet is left in its ring, where it waits.
#[derive(Debug)]
pub struct RateLimit {
    bytes_a_second: u64,
    allowed: u64,
    counted_at: Instant,
    has_waited: bool,
}

impl RateLimit {
    /// One of a guest that has printed nothing.
    #[must_use]
    pub fn new(now: Instant, bytes_a_second: u64) -> Self {
        Self {
            bytes_a_second,
            allowed: bytes_a_second / BURST_PART,
            counted_at: now,
            has_waited: false,
        }
    }

    /// Bytes that may be taken now.
    pub fn allowed(&mut self, now: Instant) -> usize {
        let passed = now.saturating_duration_since(self.counted_at).as_millis();
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        let earned = passed.saturating_mul(self.bytes_a_second) / 1000;
        if earned > 0 {
            let most = self.bytes_a_second / BURST_PART;
            self.allowed = self.allowed.saturating_add(earned).min(most);
            self.counted_at = now;
        }
        usize::try_from(self.allowed).unwrap_or(usize::MAX)
    }

    /// So many were taken.
    pub fn took(&mut self, bytes: usize) {
        self.allowed = self.allowed.saturating_sub(bytes as u64);
    }

    /// Whether the guest has to wait now; the first time is for the log.
    pub fn notes_first_wait(&mut self) -> bool {
        !std::mem::replace(&mut self.has_waited, true)
    }

    /// When a guest that has to wait may go on.
    #[must_use]
    pub const fn pause() -> Duration {
        Duration::from_millis(20)
    }
}

/// Output that nobody has read yet: the newest bytes, up to a limit.
#[derive(Debug)]
pub struct Backlog {
    bytes: VecDeque<u8>,
    limit: usize,
}

impl Backlog {
    /// An empty one.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            bytes: VecDeque::new(),
            limit: limit.min(MAX_LIMIT),
        }
    }

    /// Goes on where a former one was, all of it: it had its own limit.
    pub fn follow(&mut self, former: Self) {
        self.bytes = former.bytes;
    }

    /// Adds output; the oldest gives way.
    pub fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        let surplus = self.bytes.len().saturating_sub(self.limit);
        self.bytes.drain(..surplus);
    }

    /// The oldest bytes, as many as lie together.
    #[must_use]
    pub fn front(&self) -> &[u8] {
        self.bytes.as_slices().0
    }

    /// So many of the oldest have been read.
    pub fn read(&mut self, count: usize) {
        self.bytes.drain(..count.min(self.bytes.len()));
    }

    /// Bytes that can be added before the oldest give way.
    #[must_use]
    pub fn room(&self) -> usize {
        self.limit.saturating_sub(self.bytes.len())
    }

    /// Bytes that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether none do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_that_prints_without_end_is_slowed_down() {
        let start = Instant::now();
        let rate = DEFAULT_RATE_KIB << 10;
        let mut limit = RateLimit::new(start, rate);
        let mut taken = 0;
        for millisecond in 0..10_000 {
            let now = start + Duration::from_millis(millisecond);
            let allowed = limit.allowed(now).min(2048);
            limit.took(allowed);
            taken += allowed as u64;
        }
        let expected = rate / BURST_PART + 10 * rate;
        assert!(taken.abs_diff(expected) < expected / 50, "{taken}");
        assert!(limit.notes_first_wait() && !limit.notes_first_wait());
    }

    #[test]
    fn the_newest_output_is_kept() {
        let mut backlog = Backlog::new(8);
        backlog.add(b"abcdef");
        backlog.add(b"ghijkl");
        assert_eq!(backlog.len(), 8);
        let mut read = Vec::new();
        while !backlog.is_empty() {
            read.extend_from_slice(backlog.front());
            backlog.read(backlog.front().len());
        }
        assert_eq!(read, b"efghijkl");
        assert_eq!(Backlog::new(usize::MAX).limit, MAX_LIMIT);
    }
}
